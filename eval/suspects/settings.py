"""Settings of `eval.suspects`."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from core.runs import RunConfig
from core.tracking import TrackingConfig
from data.formats.source import PartConfig


@dataclass
class SuspectsConfig(PartConfig, RunConfig):
    """Settings of `eval.suspects`."""

    runs: list[str] = MISSING  # run folders of pipeline.export, or folders of such, that must all speak against a label
    truth: str | None = None  # annotation file, or labels of another tool; null: the one that the runs answered
    images: str | None = None  # folder of the images; null: the first export's
    most: int = 200  # suspects that are told, the likeliest first
    tracking: TrackingConfig = field(default_factory=TrackingConfig)  # their numbers and table go to W&B too
