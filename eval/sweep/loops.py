"""The compiled loops of eval.sweep: one pass of suppression for several overlaps, and the matching of answers."""

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True)
def _suppress(boxes: Any, limits: Any) -> Any:
    """(T, N) which of (N, 4) float32 boxes, by descending confidence, stay at each of T overlaps.

    Every number is rounded to float32 where core.suppression.nms rounds it, and compared with a double as there. A box
    without area divides 0 by 0, and NaN is above nothing.
    """
    num = len(boxes)
    stays = np.ones((len(limits), num), np.bool_)
    zero = np.float32(0)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for i in range(num):
        if not stays[:, i].any():
            continue
        x1, y1, x2, y2, area = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3], areas[i]
        for j in range(i + 1, num):
            width = max(min(x2, boxes[j, 2]) - max(x1, boxes[j, 0]), zero)
            height = max(min(y2, boxes[j, 3]) - max(y1, boxes[j, 1]), zero)
            overlap = width * height
            union = area + areas[j] - overlap
            if union == zero:
                if overlap == zero:
                    continue
                iou = np.float32(np.inf)
            else:
                iou = overlap / union
            for t in range(len(limits)):
                if stays[t, i] and np.float64(iou) > limits[t]:
                    stays[t, j] = False
    return stays


def suppress_sorted(boxes_xyxy: Any, nms_ious: Any) -> list[Any]:
    """For each overlap the places of (N, 4) float32 boxes, by descending confidence, that suppression keeps."""
    return [np.flatnonzero(row) for row in _suppress(boxes_xyxy, nms_ious)]


@njit(cache=True)
def match_answers(overlaps_NG: Any, described_MG: Any, answered_NM: Any, least: float) -> Any:
    """(M,) how many of each caption's answered boxes match a target of its own, one to one, at an IoU above `least`.

    Greedily by descending IoU (ties: the earlier box, then the earlier target), as eval.answers.outcomes does.
    """
    num_boxes, num_targets = overlaps_NG.shape
    matched = np.zeros(len(described_MG), np.intp)
    for m in range(len(described_MG)):
        free_boxes, free_targets = answered_NM[:, m].copy(), described_MG[m].copy()
        while True:
            best, box, target = least, -1, -1
            for n in range(num_boxes):
                for g in range(num_targets):
                    if free_targets[g] and free_boxes[n] and overlaps_NG[n, g] > best:
                        best, box, target = overlaps_NG[n, g], n, g
            if box < 0:
                break
            free_boxes[box] = free_targets[target] = False
            matched[m] += 1
    return matched
