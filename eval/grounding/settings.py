"""Settings of `eval.grounding`."""

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING

from core.runs import RunConfig
from core.tracking import TrackingConfig


class BoxFormat(Enum):
    """How the prediction file writes boxes."""

    ltwh = "ltwh"
    xyxy = "xyxy"


class Duplicates(Enum):
    """What a second prediction for the same image and caption means."""

    error = "error"
    first = "first"
    last = "last"


class Scoring(Enum):
    """How predictions find their truth: by image and caption, or by place as the published notebook did."""

    keyed = "keyed"
    positional = "positional"


@dataclass
class GroundingConfig(RunConfig):
    """Settings of `eval.grounding`."""

    truth: str = MISSING  # annotation file; its captions are the denominator
    predictions: str = MISSING  # prediction file, JSON Lines or a JSON list
    box_format: BoxFormat = BoxFormat.ltwh  # how the prediction file writes boxes
    duplicates: Duplicates = Duplicates.error  # a second prediction for an image's caption: refuse, or take one
    looks: int | None = None  # budget of looks at this truth, counted in FILE.looks.json beside it; null: as it stands
    scoring: Scoring = Scoring.keyed  # positional repeats a published mistake: entry i against the i-th of the last n
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
