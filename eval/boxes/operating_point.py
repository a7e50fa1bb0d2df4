"""What a detector does at one confidence: precision, recall, F1, counts, and the two figures the log published."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.boxes import ltwh_to_xyxy
from core.suppression import nms
from eval.boxes.matching import match_by_confidence, match_by_overlap
from eval.boxes.table import BoxTable

PUBLISHED_BOXES_PER_IMAGE = 4  # the log's denominator assumed four true boxes in every image


def cut_table(found: BoxTable, confidence: float, nms_iou: float | None = None) -> BoxTable:
    """The found boxes with score >= `confidence` that NMS within each image keeps (None: all of them)."""
    passed = found.take(found.score >= confidence)
    if nms_iou is None or not len(passed):
        return passed
    kept = []
    for image in np.unique(passed.image):
        places = np.flatnonzero(passed.image == image)
        kept.append(places[nms(ltwh_to_xyxy(passed.box_ltwh[places]), passed.score[places], nms_iou)])
    return passed.take(np.concatenate(kept))


def ratio(part: float, whole: float) -> float:
    """part / whole, 0 for an empty whole."""
    return part / whole if whole else 0.0


def rates(num_tp: int, num_predictions: int, num_truth: int) -> dict[str, float | int]:
    """`precision recall f1 num_tp num_predictions num_truth` from the counts."""
    return {
        "precision": ratio(num_tp, num_predictions),
        "recall": ratio(num_tp, num_truth),
        "f1": ratio(2 * num_tp, num_predictions + num_truth),
        "num_tp": num_tp,
        "num_predictions": num_predictions,
        "num_truth": num_truth,
    }


def operating_point(found: BoxTable, truth: BoxTable, match_iou: float = 0.5) -> dict[str, float | int]:
    """The rates of boxes already cut, matched by descending confidence at IoU >= `match_iou`."""
    num_tp = int(match_by_confidence(found, truth, [match_iou]).sum())
    return rates(num_tp, len(found), len(truth))


def published_ratios(found: BoxTable, truth: BoxTable, published_denominators: bool = False) -> dict[str, float]:
    """The log's "self calc mAP@0.5" pair, which are no AP: a recall and a precision after matching by overlap alone.

    `map50_over_truth` and `map50_over_predictions` carry the published names, `recall_by_overlap` and
    `precision_by_overlap` say what they are. With `published_denominators` the published name of the recall is divided
    as published, by 4 x the number of images that have a prediction at all; the true name never is.
    """
    num_tp = int(match_by_overlap(found, truth, 0.5).sum())
    over_truth = len(truth)
    if published_denominators:
        over_truth = PUBLISHED_BOXES_PER_IMAGE * len(np.unique(found.image))
    return {
        "map50_over_truth": ratio(num_tp, over_truth),
        "map50_over_predictions": ratio(num_tp, len(found)),
        "recall_by_overlap": ratio(num_tp, len(truth)),
        "precision_by_overlap": ratio(num_tp, len(found)),
        "num_tp_by_overlap": num_tp,
    }


def confidence_curves(found: BoxTable, truth: BoxTable, match_iou: float = 0.5) -> dict[str, NDArray[np.float64]]:
    """Precision, recall and F1 when cutting at each distinct score, by descending `confidence`."""
    order = np.argsort(-found.score, kind="stable")
    score = found.score[order]
    true = np.cumsum(match_by_confidence(found, truth, [match_iou])[order, 0])
    last = np.flatnonzero(np.append(np.diff(score) != 0, True)) if len(score) else np.zeros(0, np.intp)
    num_tp, num_found = true[last].astype(np.float64), last + 1.0
    return {
        "confidence": score[last],
        "precision": num_tp / num_found,
        "recall": num_tp / max(1, len(truth)),
        "f1": 2 * num_tp / (num_found + len(truth)),
    }


def best_f1(curves: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    """`best_f1` and the highest confidence that reaches it; zeros when nothing was found."""
    if not len(curves["f1"]):
        return {"best_f1": 0.0, "best_f1_confidence": 0.0}
    place = int(np.argmax(curves["f1"]))
    return {"best_f1": float(curves["f1"][place]), "best_f1_confidence": float(curves["confidence"][place])}


def thinned(curves: dict[str, NDArray[np.float64]], most: int = 400) -> dict[str, Any]:
    """The curves at about `most` places, as lists for a file: the best F1, half even in rank, half even in confidence.

    Even ranks alone would spend nearly all places on the many boxes of next to no confidence.
    """
    num = len(curves["confidence"])
    ranks = np.linspace(0, num - 1, min(most // 2, num)).round().astype(int) if num else np.zeros(0, int)
    first, last = (float(curves["confidence"][n]) for n in (0, -1)) if num else (0.0, 0.0)
    steps = np.linspace(first, last, most // 2 if num else 0)
    even = np.clip(np.searchsorted(-curves["confidence"], -steps), 0, max(0, num - 1))
    best = [int(curves["f1"].argmax())] if num else []
    places = np.unique(np.concatenate([ranks, even, best]))
    return {name: [round(float(v), 6) for v in values[places.astype(int)]] for name, values in curves.items()}
