"""The compiled loops of core.fusion; imported only when something is fused, since it loads a compiler.

Every sum is taken in the order and precision of ensemble-boxes 1.0.9 (double products, single-precision running sums),
so that even a decision at the very edge of the IoU threshold falls the same way.
"""

from typing import Any

import numpy as np
from numba import njit

AVG, MAX, BOX_AND_MODEL_AVG, ABSENT_MODEL_AWARE_AVG = range(4)


@njit(cache=True)
def prepare(boxes: Any, confidence: Any, view: Any, weights: Any, skip: float) -> Any:
    """(4, M) sides of the boxes that count, turned the right way round, with (M,) weighted scores and views."""
    num, most = 0, len(boxes)
    sides, score, kept_view = np.empty((4, most)), np.empty(most), np.empty(most, np.intp)
    for i in range(most):
        left, right = min(boxes[i, 0], boxes[i, 2]), max(boxes[i, 0], boxes[i, 2])
        top, bottom = min(boxes[i, 1], boxes[i, 3]), max(boxes[i, 1], boxes[i, 3])
        if confidence[i] < skip or (right - left) * (bottom - top) == 0.0:
            continue
        sides[0, num], sides[1, num], sides[2, num], sides[3, num] = left, top, right, bottom
        score[num], kept_view[num] = confidence[i] * weights[view[i]], view[i]
        num += 1
    return sides[:, :num], score[:num], kept_view[:num]


@njit(cache=True)
def cluster_boxes(sides: Any, score: Any, order: Any, wbf_iou: float) -> Any:
    """Give each of (4, N) boxes, in the given order, to the cluster whose average it overlaps most.

    Returns the clusters' averages (x1, y1, x2, y2, each (K,)), (K,) sums of scores, (N,) clusters and (K,) sizes.
    """
    num, used = len(score), 0
    x1, y1, x2, y2 = np.empty(num), np.empty(num), np.empty(num), np.empty(num)
    sums = np.empty((num, 4), np.float32)
    area, total, margin = np.empty(num), np.empty(num), np.empty(num)
    cluster, size = np.empty(num, np.intp), np.zeros(num, np.intp)
    for i in order:
        left, top, right, bottom = sides[0, i], sides[1, i], sides[2, i], sides[3, i]
        best = -1
        measure(x1, y1, x2, y2, area, used, left, top, right, bottom, wbf_iou, margin)
        if largest(margin, used) >= 0.0:
            best = closest(x1, y1, x2, y2, area, used, left, top, right, bottom, wbf_iou, margin)
        if best < 0:
            best, used = used, used + 1
            x1[best], y1[best], x2[best], y2[best], total[best] = left, top, right, bottom, score[i]
            for side in range(4):
                sums[best, side] = np.float32(score[i] * sides[side, i])
        else:
            total[best] += score[i]
            for side in range(4):
                sums[best, side] = np.float32(np.float64(sums[best, side]) + score[i] * sides[side, i])
            x1[best] = np.float32(np.float64(sums[best, 0]) / total[best])
            y1[best] = np.float32(np.float64(sums[best, 1]) / total[best])
            x2[best] = np.float32(np.float64(sums[best, 2]) / total[best])
            y2[best] = np.float32(np.float64(sums[best, 3]) / total[best])
        area[best] = (x2[best] - x1[best]) * (y2[best] - y1[best])
        cluster[i] = best
        size[best] += 1
    return (x1[:used], y1[:used], x2[:used], y2[:used]), total[:used], cluster, size[:used]


# Most of the work: every box against every cluster, without a division or a branch. The promise that nothing is NaN
# lets it become vector code; plain scalars and rows keep it so.


@njit(cache=True, fastmath={"nnan", "nsz"})
def measure(
    x1: Any, y1: Any, x2: Any, y2: Any, area: Any, used: int,
    left: float, top: float, right: float, bottom: float, limit: float, margin: Any,
) -> None:  # fmt: skip
    """Write how far each cluster is above the threshold; 0 or more may be a match.

    It asks for a hair less overlap than `limit`, so that its rounding cannot lose a match; `closest` decides exactly.
    """
    own = (right - left) * (bottom - top)
    whole, hair_less = 1 + limit, limit * (1 - 1e-9)
    for k in range(used):
        width = min(x2[k], right) - max(x1[k], left)
        height = min(y2[k], bottom) - max(y1[k], top)
        margin[k] = max(width, 0.0) * max(height, 0.0) * whole - hair_less * (area[k] + own)


@njit(cache=True, fastmath={"nnan", "nsz"})
def largest(values: Any, used: int) -> float:
    """The largest of the first `used` values, -1 or more."""
    most = -1.0
    for k in range(used):
        most = max(most, values[k])
    return most


@njit(cache=True)
def closest(
    x1: Any, y1: Any, x2: Any, y2: Any, area: Any, used: int,
    left: float, top: float, right: float, bottom: float, limit: float, margin: Any,
) -> int:  # fmt: skip
    """The cluster whose average overlaps the box most and by more than `limit`; the earliest of equals, else -1."""
    own = (right - left) * (bottom - top)
    best, best_iou = -1, limit
    for k in range(used):
        if margin[k] >= 0.0:
            width = max(min(x2[k], right) - max(x1[k], left), 0.0)
            height = max(min(y2[k], bottom) - max(y1[k], top), 0.0)
            iou = width * height / (area[k] + own - width * height)
            if iou > best_iou:
                best, best_iou = k, iou
    return best


@njit(cache=True)
def rescore(score: Any, view: Any, weights: Any, total: Any, cluster: Any, size: Any, rule: int, overflow: bool) -> Any:
    """(K,) confidences of the clusters, rescaled by who agreed, and (K,) numbers of distinct views."""
    num, num_views = len(size), len(weights)
    present, votes = np.zeros((num, num_views), np.bool_), np.zeros(num, np.intp)
    highest, summed = np.full(num, -np.inf), np.zeros(num)
    for i in range(len(score)):
        k = cluster[i]
        if not present[k, view[i]]:
            present[k, view[i]] = True
            votes[k] += 1
        summed[k] += weights[view[i]]
        highest[k] = max(highest[k], score[i])
    all_weights, top_weight = weights.sum(), weights.max()
    result = np.empty(num)
    for k in range(num):
        # A single box keeps its double-precision values; averages pass through single precision, as in the reference.
        mean = np.float64(np.float32(total[k] / size[k])) if size[k] > 1 else total[k]
        most = np.float64(np.float32(highest[k])) if size[k] > 1 else highest[k]
        weight = np.float64(np.float32(summed[k])) if size[k] > 1 else summed[k]
        agreeing = 0.0
        for v in range(num_views):
            agreeing += weights[v] if present[k, v] == (rule == BOX_AND_MODEL_AVG) else 0.0
        if rule == MAX:
            result[k] = most / top_weight
        elif rule == BOX_AND_MODEL_AVG:
            result[k] = mean * size[k] / weight * agreeing / all_weights
        elif rule == ABSENT_MODEL_AWARE_AVG:
            result[k] = mean * size[k] / (weight + agreeing)
        else:
            result[k] = mean * (size[k] if overflow else min(num_views, size[k])) / all_weights
    return result, votes


@njit(cache=True)
def fuse(
    boxes: Any, confidence: Any, view: Any, weights: Any, wbf_iou: float, skip: float, rule: int, overflow: bool
) -> Any:
    """The whole of weighted boxes fusion: (K, 4) boxes, (K,) confidences, (K,) votes, by descending confidence."""
    sides, score, kept_view = prepare(boxes, confidence, view, weights, skip)
    order = np.argsort(score, kind="mergesort")[::-1]
    average, total, cluster, size = cluster_boxes(sides, score, order, wbf_iou)
    fused_score, votes = rescore(score, kept_view, weights, total, cluster, size, rule, overflow)
    by_score = np.argsort(fused_score, kind="mergesort")[::-1]
    fused = np.empty((len(by_score), 4))
    for place in range(len(by_score)):
        k = by_score[place]
        fused[place, 0], fused[place, 1] = average[0][k], average[1][k]
        fused[place, 2], fused[place, 3] = average[2][k], average[3][k]
    return fused, fused_score[by_score], votes[by_score]
