"""What one run holds against the labels of its truth, each sign with its strength.

Shapes: N candidates of an image, M captions, G targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.boxes import xyxy_to_ltwh
from core.values import Box
from eval.answered import AnsweredRun
from eval.answers.outcomes import HIT_IOU, iou_ltwh
from eval.attribution import BACKGROUND, NOTHING, TOUCH_IOU, Case, Scene, scenes_of

UNOFFERED = 0.5  # of an answer with another target where the own was not among the candidates: the detector's fault too
LOOSE_IOU = 0.3  # from here to HIT_IOU a confident candidate shows the target and the target's box fits it badly

KINDS = {
    "other target": "every run answers the caption with another target",
    "contradicted": "runs of different scorers answer the caption with different targets",
    "not offered": "no run has a candidate that touches the target",
    "loose box": "the most confident candidate at the target overlaps its box by 0.3 to 0.5",
    "no label": "a confident candidate of every run lies where nothing is labelled",
}


@dataclass(frozen=True)
class Sign:
    """One sign against a label.

    caption: of the label; empty for what has none. box_ltwh: of the label, or the candidate without one. seen_ltwh:
    what the run shows in its place, None where it shows nothing. place: of the caption among its image's; None where
    the sign is of a target or a candidate. strength: 0..1.
    """

    kind: str
    image: str
    caption: str
    box_ltwh: Box
    strength: float
    place: int | None = None
    seen_ltwh: Box | None = None
    seen: str = ""  # the caption of the target that is shown


@dataclass
class ImageCases:
    """One image of a run: its captions' cases in the truth's order, and the scene that they make."""

    name: str
    cases: list[Case]
    scene: Scene

    @property
    def is_shared(self) -> bool:
        """Whether its captions share their candidates, as a detector's are; a one-stage model's are a caption's own."""
        return len({id(case.candidates) for case in self.cases}) == 1


def images_of(run: AnsweredRun) -> list[ImageCases]:
    """The images of a run with their cases."""
    grouped: dict[str, list[Case]] = {}
    for case in run.cases:
        grouped.setdefault(case.outcome.image, []).append(case)
    scenes = scenes_of(run.outcomes)
    return [ImageCases(name, cases, scenes[name]) for name, cases in grouped.items()]


def signs_of(run: AnsweredRun) -> list[Sign]:
    """Every sign of a run that has its store, image after image."""
    images = images_of(run)
    rarity, offered = Rarity(run.cases), _offered(run.cases)
    found: list[Sign] = []
    for image in images:
        found += _other_targets(image, run.is_sigmoid)
        found += _targets(image, rarity, offered)
        found += _unlabelled(image, rarity) if image.is_shared else []
    return found


class Rarity:
    """How a confidence stands among those of the run's candidates that show a labelled target: 0 lowest, 1 highest."""

    def __init__(self, cases: Sequence[Case]) -> None:
        right = [case.candidates.confidence[case.overlaps > HIT_IOU] for case in cases]
        self._sorted = np.sort(np.concatenate([np.zeros(0, np.float32), *right]))

    def of(self, confidence: float) -> float:
        """The share of right candidates that are not more confident."""
        if not len(self._sorted):
            return 0.0
        return float(np.searchsorted(self._sorted, confidence, side="right")) / len(self._sorted)


def _offered(cases: Sequence[Case]) -> float:
    """The share of captions with targets whose target some candidate touches."""
    asked = [case.best_iou > TOUCH_IOU for case in cases if case.outcome.truths_ltwh]
    return float(np.mean(asked)) if asked else 0.0


def _shares(scores: NDArray[np.floating], is_sigmoid: bool) -> NDArray[np.float64]:
    """Scores as positive numbers whose ratios mean something: probabilities, or of logits their softmax."""
    values = np.asarray(scores, np.float64)
    return np.maximum(values, 1e-12) if is_sigmoid else np.exp(values - values.max(initial=-np.inf))


def _other_targets(image: ImageCases, is_sigmoid: bool) -> list[Sign]:
    """Captions answered with another target; that the other target's caption is answered with this one counts more."""
    found: list[Sign] = []
    captions = image.scene.captions
    for place, case in enumerate(image.cases):
        answer, truths = case.outcome.prediction, case.outcome.truths_ltwh
        if case.taken in {BACKGROUND, NOTHING, case.outcome.caption} or case.scores is None or not truths:
            continue
        assert answer is not None
        shares = _shares(case.scores, is_sigmoid)
        own = shares[case.overlaps > TOUCH_IOU]
        strength = UNOFFERED if not len(own) else max(0.0, 1.0 - float(own.max() / shares.max()))
        other = image.cases[captions.index(case.taken)]
        if other.taken == case.outcome.caption:
            strength = (1 + strength) / 2
        box = answer.found[0].box_ltwh
        found.append(
            Sign("other target", image.name, case.outcome.caption, truths[0], strength, place, box, case.taken)
        )  # fmt: skip
    return found


def _targets(image: ImageCases, rarity: Rarity, offered: float) -> list[Sign]:
    """Targets that nothing touches, and targets whose most confident candidate overlaps them loosely."""
    found: list[Sign] = []
    for number, target in enumerate(image.scene.targets_ltwh):
        asked = np.flatnonzero(image.scene.described_MG[:, number])
        case = image.cases[int(asked[0])]
        box = _box(target)
        caption = case.outcome.caption
        boxes = [_box(b) for b in xyxy_to_ltwh(case.candidates.boxes_xyxy.astype(np.float64))]
        own = np.asarray([iou_ltwh(box, b) for b in boxes])
        if own.max(initial=0.0) <= TOUCH_IOU:
            found.append(Sign("not offered", image.name, caption, box, offered * (1 - own.max(initial=0.0))))
            continue
        if own.max() > HIT_IOU:
            continue
        best = int(np.argmax(np.where(own > TOUCH_IOU, case.candidates.confidence, -1)))
        others = [iou_ltwh(_box(t), boxes[best]) for n, t in enumerate(image.scene.targets_ltwh) if n != number]
        if own[best] >= LOOSE_IOU and max(others, default=0.0) <= own[best]:
            strength = rarity.of(float(case.candidates.confidence[best]))
            found.append(Sign("loose box", image.name, caption, box, strength, seen_ltwh=boxes[best]))
    return found


def _unlabelled(image: ImageCases, rarity: Rarity) -> list[Sign]:
    """Candidates that touch no target, the most confident of those that touch each other."""
    found: list[Sign] = []
    candidates = image.cases[0].candidates
    boxes = [_box(b) for b in xyxy_to_ltwh(candidates.boxes_xyxy.astype(np.float64))]
    taken = [_box(t) for t in image.scene.targets_ltwh]
    for n in np.argsort(-candidates.confidence, kind="stable"):
        if all(iou_ltwh(boxes[n], box) <= TOUCH_IOU for box in taken):
            taken.append(boxes[n])
            found.append(Sign("no label", image.name, "", boxes[n], rarity.of(float(candidates.confidence[n]))))
    return found


def _box(values: NDArray[np.floating]) -> Box:
    left, top, width, height = (float(v) for v in values)
    return left, top, width, height
