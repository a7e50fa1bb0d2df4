"""gRefCOCO's metric for boxes (GREC, arXiv 2308.16182): Pr@(F1=1, IoU>=0.5), N-acc and T-acc.

As in MMDetection's `GRefCOCOMetric` (`mmdet/evaluation/metrics/grefcoco_metric.py`). Boxes with a score of at least 0.7
count and match at an IoU of at least 0.5, inclusive, one to one. The quirk: `F1_score` is no F1 but the share of all
captions answered exactly, an empty answer being exact where the caption describes nothing; so an answer that is always
empty has N-acc 1 and still earns the share of those captions. N-acc and T-acc trade against each other and belong side
by side.
"""

from collections.abc import Sequence

from eval.answers.outcomes import Outcome, iou_ltwh, num_matches
from eval.protocols.tally import boxes_from

LEAST_SCORE, MATCH_IOU = 0.7, 0.5
BESIDE = {"F1_score": "exact_share", "N_acc": "none_accuracy", "T_acc": "target_accuracy"}


def judge(outcomes: Sequence[Outcome], least_score: float | None = None) -> dict[str, float | None]:
    """`F1_score`, `N_acc` (captions without a target answered empty), `T_acc` (those with one answered at all)."""
    least = LEAST_SCORE if least_score is None else least_score
    exact = none = silent = some = told = 0
    for outcome in outcomes:
        boxes, truths = boxes_from(outcome, least), outcome.truths_ltwh
        if truths:
            some, told = some + 1, told + bool(boxes)
            matched = num_matches(truths, boxes, iou_ltwh, lambda iou: iou >= MATCH_IOU)
            exact += matched == len(truths) == len(boxes)
        else:
            none, silent, exact = none + 1, silent + (not boxes), exact + (not boxes)
    return {
        "F1_score": exact / len(outcomes),
        "N_acc": silent / none if none else None,
        "T_acc": told / some if some else None,
    }
