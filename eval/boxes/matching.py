"""Which found boxes count for which true ones: pycocotools' greedy match, and the published one by overlap.

Both work on all images at once: images are rows of padded arrays, and the greedy loop runs over ranks within an image.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eval.boxes.table import BoxTable

_PIECE = 4_000_000  # numbers of one padded (image, found, true) array held at a time


def match_by_confidence(found: BoxTable, truth: BoxTable, match_ious: Sequence[float]) -> NDArray[np.bool_]:
    """(N, T) whether each found box matches a true one at IoU >= each of T thresholds.

    Within an image, found boxes choose in order of descending score (ties: table order); each takes the still free
    true box it overlaps most (ties: the later one), as pycocotools' evaluateImg does. Lower-scored boxes never change
    what happens to higher-scored ones: one match at the lowest confidence serves every confidence and every max_det.
    """
    order = np.lexsort((-found.score, found.image))
    matched = np.zeros((len(found), len(match_ious)), bool)
    limits = np.minimum(np.asarray(match_ious, np.float64), 1 - 1e-10)  # pycocotools' own guard for IoU 1
    for images in _pieces(found, truth):
        inside = order[np.isin(found.image[order], images)] if len(images) < found.num_images else order
        overlaps, rows, ranks = _padded_overlaps(found.take(inside), truth, images)
        matched[inside] = _greedy(overlaps, limits)[rows, ranks]
    return matched


def _pieces(found: BoxTable, truth: BoxTable) -> list[NDArray[np.intp]]:
    """The images in groups small enough for padded arrays; images without boxes of either kind stay in."""
    most_found = np.bincount(found.image, minlength=1).max(initial=1) if len(found) else 1
    most_true = np.bincount(truth.image, minlength=1).max(initial=1) if len(truth) else 1
    size = max(1, _PIECE // int(max(1, most_found) * max(1, most_true)))
    return [np.arange(s, min(s + size, found.num_images)) for s in range(0, found.num_images, size)]


def _padded_overlaps(
    found: BoxTable, truth: BoxTable, images: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """(I, D, G) IoU of found and true boxes, -1 where there is no such box; and each found box's row and rank.

    Computed on left, top, width, height in doubles, in pycocotools' order of operations.
    """
    first = int(images[0]) if len(images) else 0
    inside = truth.take((truth.image >= first) & (truth.image < first + len(images)))
    boxes_IG4, filled_IG, *_ = _padded(inside, first, len(images))
    boxes_ID4, filled_ID, rows, ranks = _padded(found, first, len(images))
    overlaps = iou_ltwh(boxes_ID4[:, :, None], boxes_IG4[:, None])
    overlaps[~(filled_ID[:, :, None] & filled_IG[:, None])] = -1
    return overlaps, rows, ranks


def _padded(
    table: BoxTable, first: int, num_images: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp], NDArray[np.intp]]:
    rows, ranks = table.image - first, table.rank_within_image()
    width = int(ranks.max(initial=-1)) + 1
    boxes, filled = np.zeros((num_images, width, 4)), np.zeros((num_images, width), bool)
    boxes[rows, ranks], filled[rows, ranks] = table.box_ltwh, True
    return boxes, filled, rows, ranks


def iou_ltwh(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of broadcastable (..., 4) boxes left, top, width, height; 0 where nothing overlaps."""
    width = np.minimum(a[..., 0] + a[..., 2], b[..., 0] + b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 1] + a[..., 3], b[..., 1] + b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    overlap = np.where((width > 0) & (height > 0), width * height, 0.0)
    union = a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=overlap > 0)


def _greedy(overlaps_IDG: NDArray[np.float64], limits_T: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(I, D, T) whether the box at each rank finds a free true box, ranks choosing in order."""
    num_images, num_found, num_true = overlaps_IDG.shape
    matched = np.zeros((num_images, num_found, len(limits_T)), bool)
    if not num_true:
        return matched
    free = np.ones((num_images, len(limits_T), num_true), bool)
    for rank in range(num_found):
        offers = overlaps_IDG[:, rank, None, :]
        if offers.max(initial=-1) < limits_T.min():
            continue
        open_ITG = free & (offers >= limits_T[:, None])
        worth = np.where(open_ITG, offers, -1)[..., ::-1]  # reversed: argmax takes the first, pycocotools the last
        best = num_true - 1 - worth.argmax(axis=-1)
        hit = open_ITG.any(axis=-1)
        matched[:, rank] = hit
        row, limit = np.nonzero(hit)
        free[row, limit, best[row, limit]] = False
    return matched


def overlap_pairs(found: BoxTable, truth: BoxTable, match_iou: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of all (found box, true box) pairs of one image with IoU >= `match_iou`, by descending IoU."""
    found_order, true_order = np.argsort(found.image, kind="stable"), np.argsort(truth.image, kind="stable")
    found_start = np.searchsorted(found.image[found_order], np.arange(found.num_images))
    true_start = np.searchsorted(truth.image[true_order], np.arange(found.num_images))
    pairs, worth = [np.zeros((0, 2), np.intp)], [np.zeros(0)]
    for images in _pieces(found, truth):
        inside = found_order[np.isin(found.image[found_order], images)]
        overlaps, *_ = _padded_overlaps(found.take(inside), truth, images)
        row, rank, true_rank = np.nonzero(overlaps >= match_iou)
        image = images[row]
        pairs.append(
            np.stack([found_order[found_start[image] + rank], true_order[true_start[image] + true_rank]], axis=1)
        )
        worth.append(overlaps[row, rank, true_rank])
    order = np.argsort(-np.concatenate(worth), kind="stable")
    found_places, true_places = np.concatenate(pairs)[order].T
    return found_places, true_places


def match_pairs(pairs: tuple[NDArray[np.intp], NDArray[np.intp]], taking_part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) whether each found box is paired when those of `taking_part` go through the pairs in order, one to one."""
    matched = np.zeros(len(taking_part), bool)
    part = taking_part[pairs[0]]
    used: set[int] = set()
    for box, true in zip(pairs[0][part].tolist(), pairs[1][part].tolist(), strict=True):
        if true not in used and not matched[box]:
            matched[box] = True
            used.add(true)
    return matched


def match_by_overlap(found: BoxTable, truth: BoxTable, match_iou: float = 0.5) -> NDArray[np.bool_]:
    """(N,) whether each found box is paired, greedily by descending IoU, at IoU >= `match_iou`; one true box each.

    This is the matching behind the published "self calc" figures: it looks at no confidence at all.
    """
    return match_pairs(overlap_pairs(found, truth, match_iou), np.ones(len(found), bool))
