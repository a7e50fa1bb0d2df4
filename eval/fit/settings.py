"""Settings of `eval.fit`."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from core.choosing import ChoosingMethod
from core.cuts import CutConfig
from core.posterior import PosteriorWeights
from core.runs import RunConfig
from core.tracking import TrackingConfig


@dataclass
class FitConfig(CutConfig, RunConfig):
    """Settings of `eval.fit`; the cuts are those that the answers will be chosen after."""

    candidates: Any = MISSING  # folder candidates/ of pipeline.export, or a list: a set and its noisy copies
    truth: Any = MISSING  # annotation file with boxes, of tuning data; or a list, one a folder of candidates
    confidence: float = 0.02  # candidates below it go; low, as the confidence is weighed anyhow
    detectors: str = ""  # what its key in the store begins with, or several joined by `+`; empty: the only one
    views: str = "*"  # pattern of view names, such as */plain
    scorers: str = ""  # what its key in the store begins with; empty: the only one
    posterior: PosteriorWeights = field(default_factory=PosteriorWeights)  # the weights to begin from and compare with
    method: ChoosingMethod = ChoosingMethod.best  # accuracy is told by it: best or assignment
    refusal: float | None = None  # of an assignment: the merit a caption may lose; null: any
    folds: int = 5  # parts of the images; each is judged by weights that were fitted on the others
    seed: int = 0  # which images make a part
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
