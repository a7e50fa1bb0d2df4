"""Settings of `eval.grounding`."""

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING

from core.runs import RunConfig
from core.tracking import TrackingConfig
from data.formats.source import PartConfig
from eval.answers.joining import Duplicates


class BoxFormat(Enum):
    """How the prediction file writes boxes."""

    ltwh = "ltwh"
    xyxy = "xyxy"


class Scoring(Enum):
    """How predictions find their truth: by image and caption, or by place as the published notebook did."""

    keyed = "keyed"
    positional = "positional"


class Protocol(Enum):
    """Whose rules the answers are judged by; the modules of `eval.protocols` say what is peculiar to each."""

    ours = "ours"
    refdrone = "refdrone"
    refdrone_vlm = "refdrone_vlm"
    grefcoco = "grefcoco"
    rsvg = "rsvg"
    vrsbench = "vrsbench"


@dataclass
class GroundingConfig(PartConfig, RunConfig):
    """Settings of `eval.grounding`."""

    truth: str = MISSING  # annotation file, or labels of another tool; its captions are the denominator
    predictions: str = MISSING  # prediction file, JSON Lines or a JSON list
    box_format: BoxFormat = BoxFormat.ltwh  # how the prediction file writes boxes
    duplicates: Duplicates = Duplicates.error  # a second prediction for an image's caption: refuse, or take one
    looks: int | None = None  # budget of looks at this truth, counted in FILE.looks.json beside it; null: as it stands
    scoring: Scoring = Scoring.keyed  # positional repeats a published mistake: entry i against the i-th of the last n
    protocol: Protocol = Protocol.ours  # also judge as a public benchmark does, beside our own strict figures
    least_score: float | None = None  # protocols that cut by score cut here; null: where they do, at 0.7
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
