"""RefDrone's metric for vision-language models: github.com/sunzc-sunny/refdrone_vlmevalkit.

`VLMEvalKit/vlmeval/dataset/image_grounding.py` at commit 17d60e6. Boxes first pass an NMS at 0.3 in the order in which
they are answered, then match at a **generalised** IoU of at least 0.5, which is below the IoU wherever the boxes' hull
holds more than their union. The quirks: on a caption that describes nothing every box is a false alarm of the
instances; an answer that cannot be read, or none at all, counts as "nothing" and is right there; boxes that are all
zero count as nothing too. No box is cut by its score.
"""

from collections.abc import Sequence

from core.values import Box
from eval.answers.outcomes import Outcome, iou_ltwh, num_matches
from eval.protocols.tally import BESIDE, RefDroneTally

NMS_IOU, MATCH_GIOU = 0.3, 0.5
EPSILON = 1e-6  # in the NMS's union, as there

__all__ = ["BESIDE", "judge"]


def judge(outcomes: Sequence[Outcome], least_score: float | None = None) -> dict[str, float | None]:
    """`instance_F1`, `instance_acc`, `image_F1`, `image_acc`, and `single_acc`."""
    tally = RefDroneTally()
    for outcome in outcomes:
        boxes, truths = thinned(outcome.boxes_ltwh), outcome.truths_ltwh
        if not any(any(box) for box in boxes):
            boxes = []
        if truths:
            tally.add(len(truths), len(boxes), num_matches(truths, boxes, giou_ltwh, lambda giou: giou >= MATCH_GIOU))
        else:
            tally.add_none(len(boxes), num_false=len(boxes))
    return tally.figures()


def thinned(boxes_ltwh: Sequence[Box]) -> list[Box]:
    """The boxes that no earlier kept one overlaps by more than 0.3."""
    kept: list[Box] = []
    for box in boxes_ltwh:
        if not any(_overlap(other, box) > NMS_IOU for other in kept):
            kept.append(box)
    return kept


def _overlap(a: Box, b: Box) -> float:
    overlap = _intersection(a, b)
    return overlap / (a[2] * a[3] + b[2] * b[3] - overlap + EPSILON)


def _intersection(a: Box, b: Box) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)


def giou_ltwh(a: Box, b: Box) -> float:
    """IoU less the share of the boxes' hull that neither covers (Rezatofighi et al., arXiv 1902.09630); -1 to 1."""
    hull = (max(a[0] + a[2], b[0] + b[2]) - min(a[0], b[0])) * (max(a[1] + a[3], b[1] + b[3]) - min(a[1], b[1]))
    union = a[2] * a[3] + b[2] * b[3] - _intersection(a, b)
    return iou_ltwh(a, b) - (hull - union) / hull if hull else 0.0
