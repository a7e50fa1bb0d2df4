"""Which cell shall find which target: ATSS for the first epochs, then task-aligned assignment.

One image at a time. N cells, T targets, K classes, C candidates. Boxes are (left, top, right, bottom) in pixels.
"""

from typing import NamedTuple

import torch
from torch import Tensor

CLOSEST = 9  # cells of each level that ATSS takes for a target's candidates
BEST = 13  # cells that task-aligned assignment takes for a target
SCORE_POWER, IOU_POWER = 1.0, 6.0  # how confidence and IoU make the alignment
ANCHOR_STRIDES = 5.0  # side of the square that stands for a cell in ATSS
EPS = 1e-9


class Assigned(NamedTuple):
    """What an image's cells shall say."""

    scores_NK: Tensor  # confidence of each class, 0 for cells that shall find nothing
    labels_N: Tensor  # class of the cell's target, K for cells that shall find nothing
    boxes_N4: Tensor  # box of the cell's target; without meaning where there is none
    positive_N: Tensor  # whether the cell has a target


class Cells(NamedTuple):
    """Where an image's cells are, and what they say now, without gradient."""

    centres_N2: Tensor
    strides_N: Tensor
    confidences_NK: Tensor
    boxes_N4: Tensor


def assign_atss(cells: Cells, boxes_T4: Tensor, labels_T: Tensor) -> Assigned:
    """Candidates of a target are the nearest cells of each level; those with an IoU above mean + deviation find it.

    A cell stands for a square of five strides here, and must lie inside the target. The confidence to learn is the IoU
    of the cell's present box with the target. Source: Zhang et al., arXiv 1912.02424, with 9 candidates a level.
    """
    if not len(boxes_T4):
        return _nothing(cells)
    half_N1 = (cells.strides_N * ANCHOR_STRIDES / 2)[:, None]
    anchors_N4 = torch.cat([cells.centres_N2 - half_N1, cells.centres_N2 + half_N1], 1)
    iou_TN = iou(boxes_T4, anchors_N4)
    middles_T2 = (boxes_T4[:, :2] + boxes_T4[:, 2:]) / 2
    distance_TN = (middles_T2[:, None] - cells.centres_N2).pow(2).sum(-1).sqrt()
    candidates_TC, start = [], 0
    for size in torch.unique_consecutive(cells.strides_N, return_counts=True)[1].tolist():
        nearest = distance_TN[:, start : start + size].topk(min(CLOSEST, size), largest=False).indices
        candidates_TC.append(nearest + start)
        start += size
    chosen_TC = torch.cat(candidates_TC, 1)
    iou_TC = iou_TN.gather(1, chosen_TC)
    threshold_T1 = iou_TC.mean(1, keepdim=True) + iou_TC.std(1, keepdim=True)
    claimed_TN = torch.zeros_like(iou_TN, dtype=torch.bool).scatter_(1, chosen_TC, iou_TC > threshold_T1)
    claimed_TN &= inside(cells.centres_N2, boxes_T4)
    claimed_TN = _one_target_each(claimed_TN, iou_TN)
    present_TN = iou(boxes_T4, cells.boxes_N4) * claimed_TN
    return _assigned(cells, boxes_T4, labels_T, claimed_TN, present_TN.amax(0))


def assign_aligned(cells: Cells, boxes_T4: Tensor, labels_T: Tensor) -> Assigned:
    """The 13 cells inside a target whose confidence times IoU^6 is greatest find it.

    The confidence to learn is that alignment, scaled so that the target's best cell is given its best IoU.
    Source: Feng et al. (TOOD), arXiv 2108.07755, with the powers 1 and 6.
    """
    if not len(boxes_T4):
        return _nothing(cells)
    iou_TN = iou(boxes_T4, cells.boxes_N4)
    alignment_TN = cells.confidences_NK[:, labels_T].T.pow(SCORE_POWER) * iou_TN.pow(IOU_POWER)
    inside_TN = inside(cells.centres_N2, boxes_T4)
    best_TC = (alignment_TN * inside_TN).topk(min(BEST, len(cells.strides_N))).indices
    claimed_TN = torch.zeros_like(inside_TN).scatter_(1, best_TC, torch.ones_like(best_TC, dtype=torch.bool))
    claimed_TN = _one_target_each(claimed_TN & inside_TN, iou_TN)
    alignment_TN = alignment_TN * claimed_TN
    best_iou_T1 = (iou_TN * claimed_TN).amax(1, keepdim=True)
    scaled_TN = alignment_TN * best_iou_T1 / (alignment_TN.amax(1, keepdim=True) + EPS)
    return _assigned(cells, boxes_T4, labels_T, claimed_TN, scaled_TN.amax(0))


def iou(boxes_T4: Tensor, boxes_N4: Tensor) -> Tensor:
    """(T, N) intersection over union; 0 for two boxes without area."""
    least = torch.maximum(boxes_T4[:, None, :2], boxes_N4[:, :2])
    most = torch.minimum(boxes_T4[:, None, 2:], boxes_N4[:, 2:])
    common_TN = (most - least).clamp(min=0).prod(-1)
    areas_T1, areas_N = ((b[:, 2:] - b[:, :2]).clamp(min=0).prod(-1) for b in (boxes_T4, boxes_N4))
    return common_TN / (areas_T1[:, None] + areas_N - common_TN + EPS)


def inside(centres_N2: Tensor, boxes_T4: Tensor) -> Tensor:
    """(T, N) whether a cell's centre lies within the target, its rim left out."""
    before = (centres_N2 - boxes_T4[:, None, :2]).amin(-1)
    after = (boxes_T4[:, None, 2:] - centres_N2).amin(-1)
    return torch.minimum(before, after) > EPS


def _one_target_each(claimed_TN: Tensor, iou_TN: Tensor) -> Tensor:
    """A cell that several targets claim goes to that of the greatest IoU of all, be it one that did not claim it."""
    several_N = claimed_TN.sum(0) > 1
    greatest_TN = torch.zeros_like(claimed_TN).scatter_(0, iou_TN.argmax(0, keepdim=True), True)
    return torch.where(several_N, greatest_TN, claimed_TN)


def _assigned(cells: Cells, boxes_T4: Tensor, labels_T: Tensor, claimed_TN: Tensor, score_N: Tensor) -> Assigned:
    positive_N, target_N = claimed_TN.any(0), claimed_TN.int().argmax(0)
    num_classes = cells.confidences_NK.shape[1]
    labels_N = torch.where(positive_N, labels_T[target_N], num_classes)
    hot_NK = torch.nn.functional.one_hot(labels_N, num_classes + 1)[:, :num_classes]
    return Assigned(hot_NK * score_N[:, None], labels_N, boxes_T4[target_N], positive_N)


def _nothing(cells: Cells) -> Assigned:
    num_classes = cells.confidences_NK.shape[1]
    positive_N = torch.zeros_like(cells.strides_N, dtype=torch.bool)
    labels_N = torch.full_like(positive_N, num_classes, dtype=torch.long)
    return Assigned(torch.zeros_like(cells.confidences_NK), labels_N, torch.zeros_like(cells.boxes_N4), positive_N)
