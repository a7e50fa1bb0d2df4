"""DIOR-RSVG's metric (Zhan et al., "RSVG", arXiv 2210.12634): Pr@0.5 to Pr@0.9, meanIoU, cumIoU.

As in github.com/ZhanYang-nwpu/RSVG-pytorch and its `utils.bbox_iou`. One box a caption; a box counts at an IoU strictly
above each threshold. The quirk: cumIoU is the sum of all intersections over the sum of all unions, which large targets
dominate. A caption without a box adds its target to the unions; there every model answers.
"""

from collections.abc import Sequence

from core.values import Box
from eval.answers.outcomes import Outcome
from eval.protocols.tally import require_single

BESIDE = {"Pr@0.5": "accuracy"}
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


def judge(outcomes: Sequence[Outcome], least_score: float | None = None) -> dict[str, float | None]:
    """`Pr@0.5` to `Pr@0.9`, `meanIoU`, `cumIoU`; InputError for captions with several targets or none."""
    require_single(outcomes, "rsvg")
    ious, inside, outside = [], 0.0, 0.0
    for outcome in outcomes:
        overlap, union = overlap_and_union(
            outcome.truths_ltwh[0], outcome.boxes_ltwh[0] if outcome.boxes_ltwh else None
        )
        ious.append(overlap / union)
        inside, outside = inside + overlap, outside + union
    shares: dict[str, float | None] = {f"Pr@{t}": sum(iou > t for iou in ious) / len(ious) for t in THRESHOLDS}
    return {**shares, "meanIoU": sum(ious) / len(ious), "cumIoU": inside / outside}


def overlap_and_union(truth: Box, box: Box | None) -> tuple[float, float]:
    """Areas of intersection and union in square pixels; without a box, 0 and the target's own."""
    if box is None:
        return 0.0, truth[2] * truth[3]
    width = min(truth[0] + truth[2], box[0] + box[2]) - max(truth[0], box[0])
    height = min(truth[1] + truth[3], box[1] + box[3]) - max(truth[1], box[1])
    overlap = max(width, 0) * max(height, 0)
    return overlap, truth[2] * truth[3] + box[2] * box[3] - overlap
