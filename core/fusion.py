"""Weighted boxes fusion: several views' boxes averaged into one set (Solovyev et al., arXiv:1910.13302).

The result is that of `ensemble_boxes.weighted_boxes_fusion`, to its single-precision averages, for boxes of any range:
nothing is clipped or normalised. A box is compared with the running averages of the clusters before it, so the order
is the algorithm and cannot be vectorised; the loops are compiled instead (core.fusion_loops).
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.values import Candidates

SCORE_RULES = ("avg", "max", "box_and_model_avg", "absent_model_aware_avg")


def weighted_boxes_fusion(
    views: Sequence[Candidates],
    weights: Sequence[float] | None = None,
    wbf_iou: float = 0.55,
    skip: float = 0.0,
    min_votes: int = 1,
    score_rule: str = "avg",
    allows_overflow: bool = False,
) -> Candidates:
    """The views' boxes fused, by descending confidence.

    weights: one a view, all equal by default. wbf_iou: a box joins the cluster it overlaps most, if more than this.
    skip: boxes below this confidence are left out. min_votes: clusters of fewer distinct views are dropped.
    score_rule: as in ensemble-boxes; `avg` scales the mean by how many boxes agree, `max` takes the highest.
    Raises InputError for a wrong setting.
    """
    weight = _check(views, weights, wbf_iou, score_rule)
    boxes = np.concatenate([v.boxes_xyxy.reshape(-1, 4) for v in views]).astype(np.float64)
    confidence = np.concatenate([v.confidence for v in views]).astype(np.float64)
    view = np.repeat(np.arange(len(views)), [len(v) for v in views])
    fused, score, votes = fuse_arrays(boxes, confidence, view, weight, wbf_iou, skip, score_rule, allows_overflow)
    keep = votes >= min_votes
    return Candidates(fused[keep].astype(np.float32), score[keep].astype(np.float32))


def weights_by_name(names: Sequence[str], patterns: Mapping[str, float]) -> list[float]:
    """Each view's weight: that of the first pattern (`*/slice_*`) its name matches, 1 where none does.

    Raises InputError for a pattern that matches no view, which would otherwise change nothing and say nothing.
    """
    idle = next((p for p in patterns if not any(fnmatchcase(name, p) for name in names)), None)
    if idle is not None:
        raise InputError(f"fusion.view_weights: {idle!r} matches none of the views {', '.join(names)}")
    return [next((w for p, w in patterns.items() if fnmatchcase(name, p)), 1.0) for name in names]


def _check(views: Sequence[Candidates], weights: Sequence[float] | None, iou: float, rule: str) -> NDArray[np.float64]:
    if not views:
        raise InputError("fusion: there are no views to fuse")
    if weights is not None and len(weights) != len(views):
        raise InputError(f"fusion.weights: {len(weights)} weights for {len(views)} views")
    weight = np.ones(len(views)) if weights is None else np.asarray(weights, np.float64)
    if not np.isfinite(weight).all() or weight.min() < 0 or weight.max() <= 0:
        raise InputError(f"fusion.weights: {list(weight)} must be 0 or more, and one above 0")
    if not 0 <= iou <= 1:
        raise InputError(f"fusion.wbf_iou: {iou} is not within 0..1")
    if rule not in SCORE_RULES:
        raise InputError(f"fusion.score_rule: {rule!r} is none of {', '.join(SCORE_RULES)}")
    return weight


def fuse_arrays(
    boxes_xyxy: NDArray[np.float64],
    confidence: NDArray[np.float64],
    view: NDArray[np.intp],
    weights: NDArray[np.float64],
    wbf_iou: float,
    skip: float = 0.0,
    score_rule: str = "avg",
    allows_overflow: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Fuse (N, 4) boxes of any range with their (N,) confidence and view numbers; weights: (views,).

    Returns (K, 4) boxes, (K,) confidence and (K,) numbers of distinct views, by descending confidence. A reversed box
    is turned round and one without area left out. Ties in confidence: the later box first, as a reversed stable sort.
    """
    from core.fusion_loops import fuse

    rule = SCORE_RULES.index(score_rule)
    return fuse(boxes_xyxy, confidence, view, weights, float(wbf_iou), float(skip), rule, allows_overflow)
