"""VRSBench's metric for grounding (arXiv 2406.12384): github.com/lx709/VRSBench, eval_fianl/compute_metrics.ipynb.

With `eval_utils.computeIoU` at commit 28edb36. One box a caption, in whole numbers from 0 to 100 of the image's sides;
all its images are 512 x 512 px. A box counts at an IoU of at least 0.5 and 0.7. The quirk: widths and heights are taken
with **+1**, as of pixels, though the grid's steps are 5 px: small boxes overlap more than they do. A target of 5 x 5
cells (26 px) answered one cell off in both directions has an IoU of 0.471 by our rule and of 0.532 there. cumIoU leaves
out captions without a box, meanIoU counts them as 0. `unique` and `other`: whether the target is the only one of its
class, by the tag `unique`.
"""

import math
from collections.abc import Sequence

from core.values import Box
from eval.answers.outcomes import Outcome
from eval.protocols.tally import require_single

BESIDE = {"Acc@0.5": "accuracy"}
SIDE_PX, GRID = 512, 100
Corners = tuple[int, int, int, int]


def judge(outcomes: Sequence[Outcome], least_score: float | None = None) -> dict[str, float | None]:
    """`Acc@0.5`, `Acc@0.7`, each also of unique and other targets, `meanIoU`, `cumIoU`; InputError as in `rsvg`."""
    require_single(outcomes, "vrsbench")
    ious, inside, outside = [], 0, 0
    for outcome in outcomes:
        overlap, union = 0, 1
        if outcome.boxes_ltwh:
            overlap, union = overlap_and_union(on_grid(outcome.truths_ltwh[0]), on_grid(outcome.boxes_ltwh[0]))
            inside, outside = inside + overlap, outside + union
        ious.append(overlap / union)
    kinds = [dict(outcome.annotation.tags).get("unique") for outcome in outcomes]
    figures: dict[str, float | None] = {}
    for name, value in (("", None), ("_unique", "true"), ("_other", "false")):
        chosen = [iou for iou, kind in zip(ious, kinds, strict=True) if value is None or kind == value]
        for limit in (0.5, 0.7):
            figures[f"Acc@{limit}{name}"] = sum(iou >= limit for iou in chosen) / len(chosen) if chosen else None
    return {**figures, "meanIoU": sum(ious) / len(ious), "cumIoU": inside / outside if outside else 0.0}


def on_grid(box_ltwh: Box) -> Corners:
    """Left, top, right, bottom on the grid of 0..100, cut off as the set's own boxes are."""
    left, top, width, height = box_ltwh
    x1, y1, x2, y2 = (_cell(v) for v in (left, top, left + width, top + height))
    return x1, y1, x2, y2


def _cell(pixels: float) -> int:
    return min(max(math.floor(pixels * GRID / SIDE_PX + 1e-6), 0), GRID)  # 1e-6: 41 cells of pixels are 41 again


def overlap_and_union(a: Corners, b: Corners) -> tuple[int, int]:
    """Intersection and union with sides taken with +1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    overlap = max(width, 0) * max(height, 0)
    return overlap, _area(a) + _area(b) - overlap


def _area(box: Corners) -> int:
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
