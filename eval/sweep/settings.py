"""Settings of `eval.sweep`."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from core.choosing import ChoosingMethod, Combining, Fallback, Select
from core.cuts import FusionMethod, ScoreRule
from core.posterior import PosteriorWeights
from core.runs import RunConfig
from core.tracking import TrackingConfig
from data.formats.source import PartConfig


@dataclass
class SweepConfig(PartConfig, RunConfig):
    """Settings of `eval.sweep`: each list is one axis, and every combination is tried."""

    candidates: str = MISSING  # folder candidates/ of pipeline.export
    truth: str = MISSING  # annotation file with boxes, or labels of another tool
    confidence: list[float] = field(default_factory=lambda: [0.25])  # candidates below it go
    nms_iou: list[float] = field(default_factory=lambda: [0.5])  # of two boxes overlapping more, one goes
    max_det: list[int] = field(default_factory=lambda: [20])  # most candidates per view
    detectors: list[str] = field(default_factory=list)  # keys in the store, `a+b` for several together; empty: each
    views: list[str] = field(default_factory=lambda: ["*"])  # patterns of view names, such as */plain
    fusion: list[FusionMethod] = field(default_factory=lambda: [FusionMethod.nms])  # of several views: nms, wbf, none
    wbf_iou: list[float] = field(default_factory=lambda: [0.5])  # clusters of wbf
    weights: list[list[Any]] = field(default_factory=lambda: [[]])  # of the views in wbf; empty: all equal
    vote_iou: list[Any] = field(default_factory=lambda: [None])  # proposals overlapping a box so much move it
    min_votes: int = 1  # wbf keeps clusters that so many views agree on
    view_weights: dict[str, float] = field(default_factory=dict)  # by name pattern, as the export's fusion.view_weights
    score_rule: ScoreRule = ScoreRule.avg  # wbf's confidence, as in ensemble-boxes
    scorers: list[str] = field(default_factory=list)  # keys in the store (upscaler-scorer), or none; empty: each
    method: list[ChoosingMethod] = field(default_factory=lambda: [ChoosingMethod.best])  # best or assignment
    confidence_weight: list[float] = field(default_factory=lambda: [0.0])  # of the detector in the choice
    combine: list[Combining] = field(default_factory=lambda: [Combining.sum])  # sum, product or posterior
    posterior: PosteriorWeights = field(default_factory=PosteriorWeights)  # of combine=posterior; eval.fit finds them
    refusal: list[Any] = field(default_factory=lambda: [None])  # of assignments: the merit a caption may lose
    absent_below: list[Any] = field(default_factory=lambda: [None])  # scores below mean "not in this image"
    select: list[Select] = field(default_factory=lambda: [Select.best])  # best: one box a caption; above: several
    above: list[float] = field(default_factory=lambda: [0.5])  # with select=above, the least merit of an answer's box
    by: str | None = None  # the best point has most of it; null: accuracy, or exact_share with several and none
    fallback: Fallback = Fallback.confident  # without a scorer: the most confident candidate, or none
    match_iou: float = 0.5  # a box is right from this IoU on, for precision, recall and F1
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
