"""The way from a detector's proposals to an image's candidates, and the grid of settings of that way.

The order of cuts is the same everywhere: per detector and view confidence, NMS, max_det, and the vote of a kept box's
proposals on its place; then fusion; then choosing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from fnmatch import fnmatch
from itertools import product
from typing import Any, Protocol

import numpy as np

from core.errors import InputError, check_limits, check_shares
from core.stages import View
from core.suppression import cut, vote
from core.values import Candidates


class FusionMethod(Enum):
    """How the boxes of several views and detectors become one set."""

    nms = "nms"  # pool them, then one more NMS
    wbf = "wbf"  # weighted boxes fusion
    greedy_nmm = "greedy_nmm"  # pool and merge as sahi does by default: a box grows over what it covers
    nmm = "nmm"  # pool and merge, also what the covered ones cover
    none = "none"  # pool them


class ScoreRule(Enum):
    """What becomes the confidence of a box that weighted boxes fusion made, as in ensemble-boxes."""

    avg = "avg"  # the mean, scaled by how many boxes agree
    max = "max"  # the highest
    box_and_model_avg = "box_and_model_avg"
    absent_model_aware_avg = "absent_model_aware_avg"


class MergeMetric(Enum):
    """What the overlap of two boxes to be merged is a share of."""

    ios = "ios"  # of the smaller box
    iou = "iou"  # of the union


@dataclass
class FusionConfig:
    """How several views' boxes are brought together; a single view is left as it is."""

    method: FusionMethod = FusionMethod.nms  # nms, wbf, greedy_nmm, nmm or none
    wbf_iou: float = 0.5  # boxes above this IoU with a cluster join it
    weights: list[float] = field(default_factory=list)  # one a view, in the detector's order; empty: all equal
    view_weights: dict[str, float] = field(default_factory=dict)  # by name pattern: {*/slice_*: 0.5}; others 1
    skip: float = 0.0001  # wbf leaves out boxes below this confidence
    min_votes: int = 1  # wbf keeps clusters that at least so many views agree on
    score_rule: ScoreRule = ScoreRule.avg  # wbf's confidence, as in ensemble-boxes
    merge_metric: MergeMetric = MergeMetric.ios  # greedy_nmm, nmm: intersection over the smaller box or the union
    merge_threshold: float = 0.5  # greedy_nmm and nmm: boxes overlapping so much or more are one


@dataclass
class CutConfig:
    """Which candidates remain."""

    confidence: float = 0.25  # candidates below it go
    nms_iou: float = 0.5  # of two boxes overlapping more than this the less confident goes
    max_det: int | None = 20  # at most so many a view; null: all
    fusion: FusionConfig = field(default_factory=FusionConfig)
    vote_iou: float | None = None  # a kept box becomes the mean of proposals overlapping it so much; 0 or null: not


def weight_lists(given: Sequence[Sequence[Any]], field_name: str) -> list[list[float]]:
    """Lists of wbf weights as a command line gives them, whole numbers among them; InputError for what is no weight."""
    for number, weights in enumerate(given):
        for weight in weights:
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
                raise InputError(f"{field_name}[{number}]: {weight} is not a weight, a number from 0 on")
    return [[float(weight) for weight in weights] for weights in given]


def cut_and_fuse(views: Sequence[View], config: CutConfig, kept: Sequence[Candidates] | None = None) -> Candidates:
    """What passes the cuts, the views' boxes brought together, by descending confidence; nothing where none passes.

    kept: each view's boxes after its own cuts and vote, where a caller has them already, as a sweep has.
    """
    if kept is None:
        kept = [cut(view.candidates, config.confidence, config.nms_iou, config.max_det) for view in views]
        if config.vote_iou:
            kept = [vote(k, view.candidates, config.vote_iou) for k, view in zip(kept, views, strict=True)]
    return kept[0] if len(kept) == 1 else _fuse(kept, config, [view.name for view in views])


def candidates_of(views: Sequence[View], config: CutConfig, kept: Sequence[Candidates] | None = None) -> Candidates:
    """An image's candidates: what `cut_and_fuse` leaves, or else the one most confident proposal of all views.

    That is the fallback of an image in which nothing passes (the published code took the least confident one); with no
    proposals at all the result is empty.
    """
    found = cut_and_fuse(views, config, kept) if views else Candidates.empty()
    return found if len(found) else most_confident(views)


def _fuse(kept: Sequence[Candidates], config: CutConfig, names: Sequence[str]) -> Candidates:
    """One set of boxes from those of several views of these names."""
    fusion = config.fusion
    if fusion.method is FusionMethod.wbf:
        from core.fusion import weighted_boxes_fusion, weights_by_name

        weights = weights_by_name(names, fusion.view_weights) if fusion.view_weights else list(fusion.weights) or None
        rule = fusion.score_rule.value
        return weighted_boxes_fusion(kept, weights, fusion.wbf_iou, fusion.skip, fusion.min_votes, rule)
    if fusion.method in {FusionMethod.greedy_nmm, FusionMethod.nmm}:
        from core.merging import merge

        return merge(kept, fusion.method.value, fusion.merge_metric.value, fusion.merge_threshold)
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


@dataclass(frozen=True)
class Point:
    """One way to an image's candidates: which views, by a pattern of their names, and which cuts."""

    views: str
    cut: CutConfig

    def candidates(self, views: Sequence[View]) -> Candidates:
        """The candidates of the views that fit the pattern; InputError when none does."""
        return candidates_of(fitting_views(views, self.views, "sweep.views"), self.cut)


def fitting_views(views: Sequence[View], pattern: str, field_name: str) -> list[View]:
    """The views whose names fit a pattern such as */plain; InputError when none does."""
    fitting = [view for view in views if fnmatch(view.name, pattern)]
    if not fitting:
        raise InputError(f"{field_name}: {pattern!r} fits none of {', '.join(view.name for view in views)}")
    return fitting


class CutLists(Protocol):
    """Lists of values to try for cuts and fusion; an empty list stands for the one value there is."""

    confidence: list[float]
    nms_iou: list[float]
    max_det: list[int]
    fusion: list[FusionMethod]
    wbf_iou: list[float]
    weights: list[list[Any]]
    vote_iou: list[Any]


def combinations(lists: CutLists, own: CutConfig, prefix: str = "") -> list[CutConfig]:
    """Every combination of the lists, with `own` for what they leave out; fusion varies slowest, max_det fastest.

    The overlaps and weights of wbf are tried with no other fusion. prefix: what stands before the lists' names on the
    command line. Raises InputError for values out of range.
    """
    check_shares(lists, ("confidence", "nms_iou", "wbf_iou", "vote_iou"), prefix)
    check_limits(lists.max_det, f"{prefix}max_det")
    ious = lists.wbf_iou or [own.fusion.wbf_iou]
    weights = weight_lists(lists.weights, f"{prefix}weights") or [list(own.fusion.weights)]
    fusions = [
        replace(own.fusion, method=m, wbf_iou=i, weights=w)
        for m, i, w in product(lists.fusion or [own.fusion.method], ious, weights)
        if m is FusionMethod.wbf or (i, w) == (ious[0], weights[0])
    ]
    limits: Sequence[int | None] = lists.max_det or [own.max_det]
    confidences, overlaps = lists.confidence or [own.confidence], lists.nms_iou or [own.nms_iou]
    votes = list(dict.fromkeys(v or None for v in lists.vote_iou)) or [own.vote_iou]
    cuts = product(fusions, votes, confidences, overlaps, limits)
    return [CutConfig(c, i, m, f, v) for f, v, c, i, m in cuts]
