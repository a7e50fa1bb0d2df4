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

    Returns (4, K) averages, (K,) sums of scores, (N,) clusters and (K,) sizes.
    """
    num, used = len(score), 0
    average, sums = np.empty((4, num)), np.empty((4, num), np.float32)
    area, total, margin = np.empty(num), np.empty(num), np.empty(num)
    cluster, size = np.empty(num, np.intp), np.zeros(num, np.intp)
    for i in order:
        best = closest(average, area, used, sides[0, i], sides[1, i], sides[2, i], sides[3, i], wbf_iou, margin)
        if best < 0:
            best, used = used, used + 1
            total[best] = score[i]
            for side in range(4):
                average[side, best] = sides[side, i]
                sums[side, best] = np.float32(score[i] * sides[side, i])
        else:
            total[best] += score[i]
            for side in range(4):
                sums[side, best] = np.float32(np.float64(sums[side, best]) + score[i] * sides[side, i])
                average[side, best] = np.float32(np.float64(sums[side, best]) / total[best])
        area[best] = (average[2, best] - average[0, best]) * (average[3, best] - average[1, best])
        cluster[i] = best
        size[best] += 1
    return average[:, :used], total[:used], cluster, size[:used]


@njit(cache=True)
def closest(
    average: Any,
    area: Any,
    used: int,
    left: float,
    top: float,
    right: float,
    bottom: float,
    limit: float,
    margin: Any,
) -> int:
    """The cluster whose average overlaps the box most and by more than `limit`; the earliest of equals, else -1.

    The first loop has neither branches nor divisions, so it becomes vector code, and leaves very few to look at. It
    asks for a hair less overlap than the threshold, so that its rounding cannot lose a match.
    """
    own = (right - left) * (bottom - top)
    hair_less = limit * (1 - 1e-9)
    x1, y1, x2, y2 = average[0], average[1], average[2], average[3]
    for k in range(used):
        near_x = x2[k] if x2[k] < right else right
        far_x = x1[k] if x1[k] > left else left
        near_y = y2[k] if y2[k] < bottom else bottom
        far_y = y1[k] if y1[k] > top else top
        width, height = near_x - far_x, near_y - far_y
        width = width if width > 0.0 else 0.0
        height = height if height > 0.0 else 0.0
        margin[k] = width * height * (1 + limit) - hair_less * (area[k] + own)
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
        for side in range(4):
            fused[place, side] = average[side, by_score[place]]
    return fused, fused_score[by_score], votes[by_score]
