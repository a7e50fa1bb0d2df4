"""The way from a detector's proposals to an image's candidates; the pipeline and the sweeps share every line of it.

The order of cuts is the same everywhere: per detector and view confidence, NMS, max_det; then fusion; then choosing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from core.errors import InputError
from core.stages import View
from core.suppression import cut
from core.values import Candidates


class FusionMethod(Enum):
    """How the boxes of several views and detectors become one set."""

    nms = "nms"  # pool them, then one more NMS
    wbf = "wbf"  # weighted boxes fusion
    greedy_nmm = "greedy_nmm"  # pool and merge as sahi does by default: a box grows over what it covers
    nmm = "nmm"  # pool and merge, also what the covered ones cover
    none = "none"  # pool them


@dataclass
class FusionConfig:
    """How several views' boxes are brought together; a single view is left as it is."""

    method: FusionMethod = FusionMethod.nms  # nms, wbf, greedy_nmm, nmm or none
    wbf_iou: float = 0.5  # boxes above this IoU with a cluster join it
    weights: list[float] = field(default_factory=list)  # one a view, in the detector's order; empty: all equal
    view_weights: dict[str, float] = field(default_factory=dict)  # by name pattern: {*/slice_*: 0.5}; others 1
    skip: float = 0.0001  # wbf leaves out boxes below this confidence
    min_votes: int = 1  # wbf keeps clusters that at least so many views agree on
    score_rule: str = "avg"  # wbf's confidence: avg or max, as in ensemble-boxes
    merge_metric: str = "ios"  # greedy_nmm and nmm: intersection over the smaller box (ios) or over the union (iou)
    merge_threshold: float = 0.5  # greedy_nmm and nmm: boxes overlapping so much or more are one


@dataclass
class CutConfig:
    """Which candidates remain."""

    confidence: float = 0.25  # candidates below it go
    nms_iou: float = 0.5  # of two boxes overlapping more than this the less confident goes
    max_det: int | None = 20  # at most so many a view; null: all
    fusion: FusionConfig = field(default_factory=FusionConfig)


def weight_lists(given: Sequence[Sequence[Any]], field_name: str) -> list[list[float]]:
    """Lists of wbf weights as a command line gives them, whole numbers among them; InputError for what is no weight."""
    for number, weights in enumerate(given):
        for weight in weights:
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
                raise InputError(f"{field_name}[{number}]: {weight} is not a weight, a number from 0 on")
    return [[float(weight) for weight in weights] for weights in given]


def candidates_of(views: Sequence[View], config: CutConfig) -> Candidates:
    """An image's candidates from what its views propose, by descending confidence.

    When nothing passes the confidence, the single most confident proposal of all views remains, as a fallback (the
    published code took the least confident one); with no proposals at all the result is empty.
    """
    kept = [cut(view.candidates, config.confidence, config.nms_iou, config.max_det) for view in views]
    if not any(len(k) for k in kept):
        return most_confident(views)
    return kept[0] if len(kept) == 1 else fuse(kept, config, [view.name for view in views])


def fuse(kept: Sequence[Candidates], config: CutConfig, names: Sequence[str] = ()) -> Candidates:
    """One set of boxes from several, by descending confidence; the sets are those of views after their own cuts.

    names: the views', which `view_weights` goes by.
    """
    fusion = config.fusion
    if fusion.method is FusionMethod.wbf:
        from core.fusion import weighted_boxes_fusion, weights_by_name

        weights = weights_by_name(names, fusion.view_weights) if fusion.view_weights else list(fusion.weights) or None
        return weighted_boxes_fusion(kept, weights, fusion.wbf_iou, fusion.skip, fusion.min_votes, fusion.score_rule)
    if fusion.method in {FusionMethod.greedy_nmm, FusionMethod.nmm}:
        from core.merging import merge

        return merge(kept, fusion.method.value, fusion.merge_metric, fusion.merge_threshold)
    pooled = Candidates(
        np.concatenate([k.boxes_xyxy for k in kept]), np.concatenate([k.confidence for k in kept])
    )  # fmt: skip
    return cut(pooled, 0.0, config.nms_iou if fusion.method is FusionMethod.nms else None, None)


def most_confident(views: Sequence[View]) -> Candidates:
    """The one most confident proposal of all views (ties: the earlier), or nothing when there is none."""
    best = Candidates.empty()
    for view in views:
        if len(view.candidates):
            top = view.candidates.take(np.asarray([int(np.argmax(view.candidates.confidence))]))
            if not len(best) or top.confidence[0] > best.confidence[0]:
                best = top
    return best
