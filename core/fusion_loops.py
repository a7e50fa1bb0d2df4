"""The compiled loops of core.fusion.

Every sum is taken in the order and precision of ensemble-boxes 1.0.9 (double products, single-precision running sums),
so that even a decision at the very edge of the IoU threshold falls the same way.
"""

from typing import Any

import numpy as np
from numba import njit

AVG, MAX, BOX_AND_MODEL_AVG, ABSENT_MODEL_AWARE_AVG = range(4)
TILE = 16  # clusters that are looked at together
FEW = 256  # scores that are sorted faster by counting than by merging
ONE = 1024  # more than the places of a tile add up to
AREA = 4  # row of a cluster's area, after its four sides


@njit(cache=True)
def prepare(boxes: Any, confidence: Any, counts: Any, weights: Any, skip: float) -> Any:
    """(M, 4) boxes that count, turned the right way round, with their (M,) weighted scores and views."""
    num, most, i = 0, len(boxes), 0
    sides, score, view = np.empty((most, 4)), np.empty(most), np.empty(most, np.intp)
    for v in range(len(counts)):
        for _ in range(counts[v]):
            x1, y1, x2, y2 = (np.float64(boxes[i, 0]), np.float64(boxes[i, 1]), np.float64(boxes[i, 2]),
                              np.float64(boxes[i, 3]))  # fmt: skip
            left, right, top, bottom = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
            if confidence[i] >= skip and (right - left) * (bottom - top) != 0.0:
                sides[num, 0], sides[num, 1], sides[num, 2], sides[num, 3] = left, top, right, bottom
                score[num], view[num] = np.float64(confidence[i]) * weights[v], v
                num += 1
            i += 1
    return sides[:num], score[:num], view[:num]


@njit(cache=True)
def cluster_boxes(sides: Any, score: Any, order: Any, wbf_iou: float) -> Any:
    """Give each of (N, 4) boxes, in the given order, to the cluster whose average it overlaps most.

    Returns the clusters' averages (K, 5: sides and area), (K,) sums of scores, (N,) clusters and (K,) sizes.
    """
    num, used = len(score), 0
    average, sums = np.empty((num, 5)), np.empty((num, 4), np.float32)
    tiles = np.zeros(((num + TILE - 1) // TILE, 5, TILE), np.float32)
    tiles[:, AREA] = np.inf  # places without a cluster match nothing
    total, cluster, size = np.empty(num), np.empty(num, np.intp), np.zeros(num, np.intp)
    rounding = np.float32(1e-6 * np.abs(sides).max()) if num else np.float32(0)
    for i in order:
        box = sides[i]
        best = closest(average, tiles, used, box, wbf_iou, rounding)
        if best < 0:
            best, used = used, used + 1
            total[best] = score[i]
            for side in range(4):
                average[best, side] = box[side]
                sums[best, side] = np.float32(score[i] * box[side])
        else:
            total[best] += score[i]
            for side in range(4):
                sums[best, side] = np.float32(np.float64(sums[best, side]) + score[i] * box[side])
                if total[best] > 0.0:  # boxes without any weight leave the first one's place
                    average[best, side] = np.float32(np.float64(sums[best, side]) / total[best])
        mean = average[best]
        mean[AREA] = (mean[2] - mean[0]) * (mean[3] - mean[1])
        for row in range(5):
            tiles[best // TILE, row, best % TILE] = mean[row]
        cluster[i] = best
        size[best] += 1
    return average[:used], total[:used], cluster, size[:used]


@njit(cache=True)
def closest(average: Any, tiles: Any, used: int, box: Any, limit: float, rounding: Any) -> int:
    """The cluster whose average overlaps the box most and by more than `limit`; the earliest of equals, else -1."""
    left, top, right, bottom = box[0], box[1], box[2], box[3]
    own = (right - left) * (bottom - top)
    best, best_iou = -1, limit
    for tile in range((used + TILE - 1) // TILE):
        near = find_near(
            tiles[tile], np.float32(left), np.float32(top), np.float32(right), np.float32(bottom), np.float32(own),
            np.float32(limit), rounding,
        )  # fmt: skip
        if near == 0:
            continue
        first, last = tile * TILE, min((tile + 1) * TILE, used)
        if near < 2 * ONE:  # only one, and this is its place
            first += near - ONE
            last = first + 1
        for k in range(first, last):
            width = min(average[k, 2], right) - max(average[k, 0], left)
            height = min(average[k, 3], bottom) - max(average[k, 1], top)
            if width > 0.0 and height > 0.0:
                iou = width * height / (average[k, AREA] + own - width * height)
                if iou > best_iou:
                    best, best_iou = k, iou
    return best


# Most of the work: every box against every cluster. Single precision, no division and no branch make it vector code;
# the promise that nothing is NaN, and a sum in place of a maximum, keep it so.


@njit(cache=True, fastmath={"nnan", "nsz"})
def find_near(
    tile: Any, left: Any, top: Any, right: Any, bottom: Any, own: Any, limit: Any, rounding: Any
) -> Any:  # fmt: skip
    """Which clusters of a (5, TILE) tile the box may overlap by more than `limit`: the sum of ONE and place of each.

    It asks for a hair less: sides may be off by `rounding`, and products by a few times 1e-7 of themselves, so that no
    match is lost. What it lets through is decided exactly.
    """
    whole, less = np.float32(1) + limit, limit * np.float32(1 - 1e-5)
    near = np.int32(0)
    for k in range(TILE):
        width = min(tile[2, k], right) - max(tile[0, k], left) + rounding
        height = min(tile[3, k], bottom) - max(tile[1, k], top) + rounding
        shared = max(width, np.float32(0)) * max(height, np.float32(0))
        near += np.int32(shared * whole >= less * (tile[AREA, k] + own)) * np.int32(ONE + k)
    return near


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
            result[k] = mean * size[k] / weight * agreeing / all_weights if weight > 0.0 else 0.0
        elif rule == ABSENT_MODEL_AWARE_AVG:
            result[k] = mean * size[k] / (weight + agreeing)
        else:
            result[k] = mean * (size[k] if overflow else min(num_views, size[k])) / all_weights
    return result, votes


@njit(cache=True)
def descending(score: Any) -> Any:
    """The places of (N,) scores from the highest down, and whether any two are equal."""
    num = len(score)
    if num <= FEW:  # counting what is higher has no branch to guess wrong
        order = np.full(num, -1, np.intp)
        for i in range(num):
            order[count_above(score, score[i])] = i
        if (order >= 0).all():
            return order, False
    order = np.argsort(score, kind="mergesort")[::-1].copy()
    tied = False
    for place in range(num - 1):
        tied = tied or score[order[place]] == score[order[place + 1]]
    return order, tied


@njit(cache=True, fastmath={"nnan", "nsz"})
def count_above(score: Any, value: float) -> int:
    """How many of the (N,) scores are above the value."""
    above = 0
    for k in range(len(score)):
        above += score[k] > value
    return above


@njit(cache=True)
def fuse(
    boxes: Any, confidence: Any, counts: Any, weights: Any, wbf_iou: float, skip: float, rule: int, overflow: bool
) -> Any:
    """The whole of weighted boxes fusion in one call, which is what small sets spend their time on.

    (K, 4) boxes, (K,) confidences and (K,) votes, by descending confidence; and whether equal scores were met anywhere,
    whose order `fuse_in_order` leaves to its caller.
    """
    sides, score, view = prepare(boxes, confidence, counts, weights, skip)
    order, tied = descending(score)
    fused, fused_score, votes = fuse_in_order(sides, score, view, order, weights, wbf_iou, rule, overflow)
    by_score, tied_after = descending(fused_score)
    return fused[by_score], fused_score[by_score], votes[by_score], tied or tied_after


@njit(cache=True)
def fuse_in_order(
    sides: Any, score: Any, view: Any, order: Any, weights: Any, wbf_iou: float, rule: int, overflow: bool
) -> Any:
    """Fuse prepared boxes in the given order: (K, 4) boxes, (K,) confidences, (K,) votes, in order of appearance."""
    average, total, cluster, size = cluster_boxes(sides, score, order, wbf_iou)
    fused_score, votes = rescore(score, view, weights, total, cluster, size, rule, overflow)
    return average[:, :4].copy(), fused_score, votes
