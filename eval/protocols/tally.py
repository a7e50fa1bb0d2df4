"""Counts of right and wrong, of boxes and of captions, and the figures that RefDrone makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.errors import InputError
from core.values import Box
from eval.answers.outcomes import Outcome

BESIDE = {"instance_F1": "instance_f1", "image_acc": "exact_share", "single_acc": "accuracy"}


@dataclass
class Tally:
    """True and false, positive and negative."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), 0 of nothing; true negatives do not count."""
        return _share(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def accuracy(self) -> float:
        """(TP + TN) / all."""
        return _share(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


@dataclass
class RefDroneTally:
    """RefDrone's two tallies: of boxes (`instance`) and of captions (`image`)."""

    instance: Tally = field(default_factory=Tally)
    image: Tally = field(default_factory=Tally)
    num_single: int = 0
    num_single_right: int = 0

    def add(self, num_truths: int, num_boxes: int, num_matched: int) -> None:
        """Count a caption with targets; a caption that is not answered exactly is a false negative of the images."""
        self.instance.tp += num_matched
        self.instance.fp += num_boxes - num_matched
        self.instance.fn += num_truths - num_matched
        is_exact = num_truths == num_boxes == num_matched
        self.image.tp += is_exact
        self.image.fn += not is_exact
        self.num_single += num_truths == 1
        self.num_single_right += num_truths == 1 and is_exact

    def add_none(self, num_boxes: int, num_false: int) -> None:
        """Count a caption that describes nothing, whose `num_boxes` boxes count as `num_false`."""
        for tally, false in ((self.instance, num_false), (self.image, 1)):
            if num_boxes:
                tally.fp += false
            else:
                tally.tn += 1

    def figures(self) -> dict[str, float | None]:
        """The four published figures, and the share of captions with one target that are answered exactly."""
        return {
            "instance_F1": self.instance.f1(),
            "instance_acc": self.instance.accuracy(),
            "image_F1": self.image.f1(),
            "image_acc": self.image.accuracy(),
            "single_acc": self.num_single_right / self.num_single if self.num_single else None,
        }


def boxes_from(outcome: Outcome, least_score: float) -> list[Box]:
    """The boxes of an answer whose score is at least `least_score`; a box without a score counts."""
    found = outcome.prediction.found if outcome.prediction is not None else ()
    return [f.box_ltwh for f in found if f.score is None or f.score >= least_score]


def require_single(outcomes: Sequence[Outcome], protocol: str) -> None:
    """Raise InputError unless every caption has one target."""
    others = [o for o in outcomes if len(o.truths_ltwh) != 1]
    if others:
        raise InputError(
            f"protocol: {protocol} is for captions with one target; {len(others)} of {len(outcomes)} have several or "
            f"none, first {others[0].caption!r} of {others[0].image}"
        )
