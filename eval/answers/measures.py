"""How good the answers to captions are: every figure by its one name, from counts a caption, with intervals by image.

Shapes: M captions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from eval.answers.outcomes import Outcome
from eval.statistics import Resamples

# shares of sums, in the order in which tables show them, and what is missing before the first answer with a score
RATIOS = {
    "accuracy": "captions with one target whose best box overlaps it by more than half",
    "instance_precision": "boxes answered that match a target, one to one",
    "instance_recall": "targets that a box matches, each asked for by each of its captions",
    "instance_f1": "their harmonic mean",
    "exact_share": "captions answered with every target and nothing else",
    "none_accuracy": "captions without a target that got no box",
    "target_accuracy": "captions with a target that got a box",
}
CURVES = {
    "aurc": "area under the risk-coverage curve: the mean share of captions not exact among those answered most surely",
    "ece": "expected calibration error of the score: how far it is from the share of best boxes that are right",
}
FIGURES = (*RATIOS, *CURVES)
BINS = 15  # of the scores, for the calibration error
CURVE_RESAMPLES = 500  # a risk-coverage curve costs a pass over all captions


@dataclass(frozen=True)
class Counts:
    """What the figures are made of, one entry a caption.

    num_truths, num_boxes, num_matched: its targets, the boxes answered, and how many of these match one to one.
    hit: whether the best box counts, or the answer is empty where there is no target. score: of the best box, NaN where
    there is none. sure: what answers are withheld by, that score or else the confidence; minus infinity where nothing
    was answered.
    """

    num_truths: NDArray[np.intp]
    num_boxes: NDArray[np.intp]
    num_matched: NDArray[np.intp]
    hit: NDArray[np.bool_]
    score: NDArray[np.float64]
    sure: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.num_truths)

    @property
    def is_exact(self) -> NDArray[np.bool_]:
        """(M,) every target and nothing else; an empty answer where there is no target, but not no answer at all."""
        matched = (self.num_matched == self.num_truths) & (self.num_matched == self.num_boxes)
        return matched & (self.hit | (self.num_truths > 0))


def counts_of(outcomes: Sequence[Outcome]) -> Counts:
    """The counts of joined answers."""
    best = [o.prediction if o.boxes_ltwh else None for o in outcomes]
    scores = [np.nan if p is None or p.score is None else p.score for p in best]
    sure = [-np.inf if p is None else _sureness(p.score, p.confidence) for p in best]
    return Counts(
        np.asarray([len(o.truths_ltwh) for o in outcomes], np.intp),
        np.asarray([len(o.boxes_ltwh) for o in outcomes], np.intp),
        np.asarray([o.num_matched for o in outcomes], np.intp),
        np.asarray([o.hit for o in outcomes], bool),
        np.asarray(scores, np.float64),
        np.asarray(sure, np.float64),
    )


def _sureness(score: float | None, confidence: float | None) -> float:
    known = [value for value in (score, confidence) if value is not None]
    return known[0] if known else -np.inf


def parts_and_wholes(counts: Counts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(M, K) two columns for each of RATIOS: the figure is the sum of the first over the sum of the second."""
    truths, boxes, matched = counts.num_truths, counts.num_boxes, counts.num_matched
    one, none, some = truths == 1, truths == 0, truths > 0
    columns = {
        "accuracy": (counts.hit & one, one),
        "instance_precision": (matched, boxes),
        "instance_recall": (matched, truths),
        "instance_f1": (2 * matched, boxes + truths),
        "exact_share": (counts.is_exact, np.ones(len(counts))),
        "none_accuracy": (none & counts.hit, none),
        "target_accuracy": (some & (boxes > 0), some),
    }
    part, whole = (np.stack([columns[name][k] for name in RATIOS], axis=1).astype(np.float64) for k in (0, 1))
    return part, whole


def plain_figures(counts: Counts) -> dict[str, float | None]:
    """Every figure; None where there is nothing to measure, such as captions without a target or scores in 0..1."""
    part, whole = (columns.sum(axis=0) for columns in parts_and_wholes(counts))
    ratios = {n: float(p / w) if w else None for n, p, w in zip(RATIOS, part, whole, strict=True)}
    return {**ratios, "aurc": _aurc(counts), "ece": _ece(counts)}


def figures(counts: Counts, resamples: Resamples) -> dict[str, Any]:
    """Every figure with its 95 % interval by image as NAME_ci95, None where there is none."""
    told: dict[str, Any] = plain_figures(counts)
    part, whole = parts_and_wholes(counts)
    for name, interval in zip(RATIOS, resamples.intervals(part, whole), strict=True):
        told[f"{name}_ci95"] = None if told[name] is None else list(interval)
    told["aurc_ci95"] = None if told["aurc"] is None else _aurc_interval(counts, resamples)
    told["ece_ci95"] = None if told["ece"] is None else _ece_interval(counts, resamples)
    return told


def _by_sureness(counts: Counts) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """The captions by falling sureness, where each run of equally sure ones begins, and which are not exact."""
    order = np.argsort(-counts.sure, kind="stable")
    sure = counts.sure[order]
    starts = np.flatnonzero(np.concatenate([[True], sure[1:] != sure[:-1]]))
    return order, starts, (~counts.is_exact[order]).astype(np.float64)


def _aurc(counts: Counts) -> float | None:
    """The mean over captions of the risk at which each is first answered; equally sure ones are answered together."""
    if not np.isfinite(counts.sure).any():
        return None
    order, starts, wrong = _by_sureness(counts)
    return float(_areas(np.ones((1, len(order))), wrong, starts)[0])


def _areas(weights: NDArray[np.float64], wrong: NDArray[np.float64], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """(R,) areas of R weightings of the captions, which stand by falling sureness."""
    size, errors = (np.add.reduceat(values, starts, axis=1) for values in (weights, weights * wrong))
    answered = np.maximum(np.cumsum(size, axis=1), 1e-12)
    return (size * np.cumsum(errors, axis=1) / answered).sum(axis=1) / size.sum(axis=1)


def _aurc_interval(counts: Counts, resamples: Resamples) -> list[float]:
    order, starts, wrong = _by_sureness(counts)
    image = resamples.group[order]
    return resamples.interval_of(lambda draws: _areas(draws[:, image], wrong, starts), CURVE_RESAMPLES, len(order))


def _bins(counts: Counts) -> tuple[NDArray[np.bool_], NDArray[np.intp], NDArray[np.float64]] | None:
    """Which captions have a score, its bin, and score minus right; None unless all scores are within 0..1."""
    scored = ~np.isnan(counts.score)
    score = counts.score[scored]
    if not len(score) or score.min() < 0 or score.max() > 1:
        return None
    place = np.minimum((score * BINS).astype(np.intp), BINS - 1)
    return scored, place, score - (counts.hit & (counts.num_boxes > 0))[scored]


def _ece(counts: Counts) -> float | None:
    found = _bins(counts)
    if found is None:
        return None
    _, place, gap = found
    return float(np.abs(np.bincount(place, weights=gap, minlength=BINS)).sum() / len(gap))


def _ece_interval(counts: Counts, resamples: Resamples) -> list[float]:
    found = _bins(counts)
    assert found is not None
    scored, place, gap = found
    image = resamples.group[scored]
    gaps = np.zeros((resamples.num_images, BINS))
    np.add.at(gaps, (image, place), gap)
    number = np.bincount(image, minlength=resamples.num_images).astype(np.float64)
    return resamples.interval_of(lambda draws: np.abs(draws @ gaps).sum(axis=1) / np.maximum(draws @ number, 1))


def grounding_metrics(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Every figure of the outcomes with its interval, and the counts they rest on.

    `ci95` is accuracy's interval; `num_hits` of `num_captions_one` captions with one target are right, `num_missing`
    captions got no box though they have a target, or no answer at all.
    """
    if not outcomes:
        raise InputError("truth: holds no captions, so there is nothing to score")
    counts = counts_of(outcomes)
    told = figures(counts, Resamples([o.image for o in outcomes]))
    one, none = counts.num_truths == 1, counts.num_truths == 0
    head = {
        "accuracy": told.pop("accuracy"),
        "num_hits": int((counts.hit & one).sum()),
        "num_captions": len(counts),
        "num_missing": int(((counts.num_boxes == 0) & ~(none & counts.hit)).sum()),
        "ci95": told.pop("accuracy_ci95"),
    }
    kinds = {"num_captions_one": int(one.sum()), "num_captions_several": int((counts.num_truths > 1).sum()),
             "num_captions_none": int(none.sum())}  # fmt: skip
    return {**head, **kinds, **told}
