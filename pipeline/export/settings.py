"""Settings of `pipeline.export`."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from core.cuts import FusionMethod
from core.published import Published
from core.runs import RunConfig
from core.tracking import TrackingConfig
from core.weights import WeightsConfig
from data.formats.source import PartConfig
from pipeline.settings import PipelineConfig


@dataclass
class SweepLists:
    """What later sweeps will ask for beside the export's own point; empty lists add nothing."""

    confidence: list[float] = field(default_factory=list)  # lowest confidences of candidates
    nms_iou: list[float] = field(default_factory=list)  # NMS overlaps
    max_det: list[int] = field(default_factory=list)  # most candidates a view
    views: list[str] = field(default_factory=list)  # patterns of view names, such as */plain, beside all views
    fusion: list[FusionMethod] = field(default_factory=list)  # of several views: nms, wbf, none
    wbf_iou: list[float] = field(default_factory=list)  # clusters of wbf
    weights: list[list[Any]] = field(default_factory=list)  # of the views in wbf; empty: all equal
    vote_iou: list[Any] = field(default_factory=list)  # overlaps of the proposals that vote on a box; null: no vote


@dataclass
class ExportConfig(PipelineConfig, WeightsConfig, PartConfig, RunConfig):
    """Settings of `pipeline.export`."""

    annotations: str = MISSING  # caption file, or labels of another tool; its captions are asked, boxes may be absent
    images: str = MISSING  # folder of the images
    candidates: str | None = None  # store to extend; null: candidates/ in the run folder
    sweep: SweepLists = field(default_factory=SweepLists)
    batch: int = 16  # images that go through the stages together
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    published: Published = field(default_factory=Published)
