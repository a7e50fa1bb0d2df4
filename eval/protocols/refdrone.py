"""RefDrone's metric for detectors: github.com/sunzc-sunny/refdrone, mmdet/evaluation/metrics/refdrone_metric.py.

At commit 75d90fd. Boxes with a score of at least 0.7 count and match at an IoU of at least 0.5, inclusive, one to one.
The quirk: on a caption that describes nothing any number of boxes is **one** false alarm, of the instances too. A
caption with targets that is not answered exactly is a false negative of the images, whatever was answered; only false
alarms are their false positives.
"""

from collections.abc import Sequence

from eval.answers.outcomes import Outcome, iou_ltwh, num_matches
from eval.protocols.tally import BESIDE, RefDroneTally, boxes_from

LEAST_SCORE, MATCH_IOU = 0.7, 0.5

__all__ = ["BESIDE", "judge"]


def judge(outcomes: Sequence[Outcome], least_score: float | None = None) -> dict[str, float | None]:
    """`instance_F1`, `instance_acc`, `image_F1`, `image_acc`, and `single_acc` (its `number_one` as a share)."""
    least = LEAST_SCORE if least_score is None else least_score
    tally = RefDroneTally()
    for outcome in outcomes:
        boxes, truths = boxes_from(outcome, least), outcome.truths_ltwh
        if truths:
            tally.add(len(truths), len(boxes), num_matches(truths, boxes, iou_ltwh, lambda iou: iou >= MATCH_IOU))
        else:
            tally.add_none(len(boxes), num_false=1)
    return tally.figures()
