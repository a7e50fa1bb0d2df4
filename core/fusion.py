"""Weighted boxes fusion: several views' boxes averaged into one set (Solovyev et al., arXiv:1910.13302).

The result is that of `ensemble_boxes.weighted_boxes_fusion`, to its single-precision averages, for boxes of any range:
nothing is clipped or normalised. A box is compared with the running averages of the clusters before it, so the order
is the algorithm and cannot be vectorised; the loops are compiled instead (core.fusion_loops). Importing this module
loads the compiler: import it where something is fused.
"""

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.fusion_loops import fuse, fuse_in_order, prepare
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
    boxes, confidence = np.concatenate([v.boxes_xyxy for v in views]), np.concatenate([v.confidence for v in views])
    counts = np.array([len(v) for v in views])
    fused, score, votes = fuse_arrays(boxes, confidence, counts, weight, wbf_iou, skip, score_rule, allows_overflow)
    if min_votes > 1:
        fused, score = fused[votes >= min_votes], score[votes >= min_votes]
    return Candidates(fused.astype(np.float32), score.astype(np.float32))


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
    given = [1.0] * len(views) if weights is None else [float(w) for w in weights]
    if not (max(given) > 0 and all(0 <= w < math.inf for w in given)):
        raise InputError(f"fusion.weights: {given} must be 0 or more, and one above 0")
    if not 0 <= iou <= 1:
        raise InputError(f"fusion.wbf_iou: {iou} is not within 0..1")
    if rule not in SCORE_RULES:
        raise InputError(f"fusion.score_rule: {rule!r} is none of {', '.join(SCORE_RULES)}")
    return np.array(given)


def fuse_arrays(
    boxes_xyxy: NDArray[np.floating],
    confidence: NDArray[np.floating],
    counts: NDArray[np.intp],
    weights: NDArray[np.float64],
    wbf_iou: float,
    skip: float = 0.0,
    score_rule: str = "avg",
    allows_overflow: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Fuse (N, 4) boxes of any range with their (N,) confidence, one view's after the other.

    counts: (views,) how many boxes each has. weights: (views,).

    Returns (K, 4) boxes, (K,) confidence and (K,) numbers of distinct views, by descending confidence. A reversed box
    is turned round and one without area left out. Equal confidences come in the order that numpy's default sort gives
    them, reversed: an arbitrary one, but the reference's.
    """
    rule, iou, least = SCORE_RULES.index(score_rule), float(wbf_iou), float(skip)
    fused, score, votes, tied = fuse(boxes_xyxy, confidence, counts, weights, iou, least, rule, allows_overflow)
    if not tied:
        return fused, score, votes
    sides, score, view = prepare(boxes_xyxy, confidence, counts, weights, least)
    order = score.argsort()[::-1]
    fused, score, votes = fuse_in_order(sides, score, view, order, weights, iou, rule, allows_overflow)
    order = score.argsort()[::-1]
    return fused[order], score[order], votes[order]
