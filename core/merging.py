"""Merging of boxes that slices of one image share, as sahi 0.12 does it, and never by another method than asked for.

The results are those of sahi's `NMSPostprocess`, `NMMPostprocess` and `GreedyNMMPostprocess`, ties and rounding
included. sahi itself falls back to NMS, with only a log line, when the model's confidence is below 0.1.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.values import Candidates

Row = Callable[[int], NDArray[np.bool_]]  # box number -> which boxes overlap it enough
Groups = dict[int, list[int]]  # keeper -> the boxes it takes in, in order

METHODS = ("greedy_nmm", "nmm", "nms")
METRICS = ("ios", "iou")


def merge(
    views: Sequence[Candidates], method: str = "greedy_nmm", metric: str = "ios", threshold: float = 0.5
) -> Candidates:
    """The views' boxes pooled and merged, by descending confidence.

    method: `nms` drops what a more confident box covers; `greedy_nmm` grows the more confident box over what it
    covers; `nmm` also over what those cover in turn. metric: intersection over the smaller box (`ios`) or over the
    union (`iou`); at `threshold` or more two boxes are one. A merged box is the hull, with the highest confidence.
    Raises InputError for a wrong setting.
    """
    if method not in METHODS:
        raise InputError(f"merging.method: {method!r} is none of {', '.join(METHODS)}")
    if metric not in METRICS:
        raise InputError(f"merging.metric: {metric!r} is none of {', '.join(METRICS)}")
    if not 0 < threshold <= 1:
        raise InputError(f"merging.threshold: {threshold} is not within 0..1 (0 excluded)")
    boxes = np.concatenate([v.boxes_xyxy.reshape(-1, 4) for v in views]).astype(np.float32)
    confidence = np.concatenate([v.confidence for v in views]).astype(np.float32)
    if not len(boxes):
        return Candidates.empty()
    order = np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -confidence))
    row = _rows(boxes, metric, threshold)
    if method == "nms":
        return Candidates(boxes, confidence).take(np.asarray(_nms(order, row), np.intp))
    groups = _greedy(order, row) if method == "greedy_nmm" else _transitive(order, row, boxes, confidence)
    return _grow(boxes, confidence, groups, metric, threshold)


def _rows(boxes: NDArray[np.float32], metric: str, threshold: float) -> Row:
    """Rows of the overlap matrix in single precision, one at a time: thousands of boxes need no square of memory."""
    x1, y1, x2, y2 = (np.ascontiguousarray(boxes[:, i]) for i in range(4))
    area = (x2 - x1) * (y2 - y1)

    def row(i: int) -> NDArray[np.bool_]:
        width = np.maximum(0, np.minimum(x2[i], x2) - np.maximum(x1[i], x1))
        height = np.maximum(0, np.minimum(y2[i], y2) - np.maximum(y1[i], y1))
        shared = width * height
        whole = np.minimum(area[i], area) if metric == "ios" else area[i] + area - shared
        return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0) >= threshold

    return row


def _nms(order: NDArray[np.intp], row: Row) -> list[int]:
    gone = np.zeros(len(order), bool)
    kept = []
    for i in order:
        if not gone[i]:
            kept.append(int(i))
            gone |= row(i)
    return kept


def _greedy(order: NDArray[np.intp], row: Row) -> Groups:
    """Each box in turn takes in the later boxes that it overlaps and nobody took."""
    taken = np.zeros(len(order), bool)
    groups: Groups = {}
    for place, i in enumerate(order):
        if taken[i]:
            continue
        rest = order[place + 1 :]
        members = rest[row(i)[rest] & ~taken[rest]]
        taken[members] = True
        groups[int(i)] = members.tolist()
    return groups


def _transitive(
    order: NDArray[np.intp], row: Row, boxes: NDArray[np.float32], confidence: NDArray[np.float32]
) -> Groups:
    """As `_greedy`, but boxes that were taken in go on taking others in, for their keeper."""
    keeper = np.full(len(order), -1, np.intp)
    groups: Groups = {}
    for i in order:
        if keeper[i] < 0:
            keeper[i] = i
            groups[int(i)] = []
        members = np.flatnonzero(row(i) & (keeper < 0))
        members = members[_may_take(i, members, boxes, confidence)]
        keeper[members] = keeper[i]
        groups[int(keeper[i])] += members.tolist()
    return groups


def _may_take(
    i: int, others: NDArray[np.intp], boxes: NDArray[np.float32], confidence: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Whether box i takes precedence: more confident, or as confident and not before them by coordinates."""
    before, equal = np.zeros(len(others), bool), np.ones(len(others), bool)
    for side in range(4):
        before |= equal & (boxes[i, side] < boxes[others, side])
        equal &= boxes[i, side] == boxes[others, side]
    return (confidence[i] > confidence[others]) | ((confidence[i] == confidence[others]) & ~before)


def _grow(
    boxes: NDArray[np.float32], confidence: NDArray[np.float32], groups: Groups, metric: str, threshold: float
) -> Candidates:
    """Each keeper becomes the hull of itself and of the members that still overlap it enough in their turn."""
    merged = boxes[list(groups)].astype(np.float64)
    highest = confidence[list(groups)].copy()
    for place, members in enumerate(groups.values()):
        hull = merged[place]
        for j in members:
            other = boxes[j].astype(np.float64)
            if _overlap(hull, other, metric) >= threshold:
                hull[:2], hull[2:] = np.minimum(hull[:2], other[:2]), np.maximum(hull[2:], other[2:])
                highest[place] = max(highest[place], confidence[j])
    return Candidates(merged.astype(np.float32), highest)


def _overlap(a: NDArray[np.float64], b: NDArray[np.float64], metric: str) -> float:
    width, height = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    area_a, area_b = np.prod(a[2:] - a[:2]), np.prod(b[2:] - b[:2])
    whole = min(area_a, area_b) if metric == "ios" else area_a + area_b - width * height
    return float(width * height / whole) if whole > 0 else 0.0
