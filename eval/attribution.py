"""Which stage to work on: what became of every caption, and what a perfect detector or a perfect scorer would give.

Shapes: N candidates of an image, M captions.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.answering import Scores
from core.cuts import CutConfig
from core.values import AnnotatedImage, Annotation, Box, Candidates
from data.scenes.palette import KINDS
from eval.answers.outcomes import HIT_IOU, Outcome
from eval.boxes.average_precision import AREAS
from eval.boxes.matching import iou_ltwh, match_by_confidence
from eval.boxes.operating_point import ratio
from eval.boxes.table import BoxTable
from eval.statistics import bootstrap_by_image
from eval.sweep.points import Sweeper
from eval.sweep.replay import CropScores, ImageReplay

TOUCH_IOU = 0.1  # below it a box has nothing to do with a target

# what became of a caption, and whose doing it is
FATES = {
    "right": ("right", "the answer overlaps the target by more than half"),
    "missed": ("detector", "no candidate touches the target"),
    "mislocated": ("detector", "a candidate touches the target but none overlaps it by more than half"),
    "loose box": ("scorer", "the answer is a worse box of the right target, though a good one was there"),
    "other target": ("scorer", "the answer is another described target"),
    "background": ("scorer", "the answer is no described target at all"),
    "no answer": ("scorer", "a good candidate was there and nothing was answered"),
    "false alarm": ("scorer", "the caption describes nothing in the image and something was answered"),
}
BACKGROUND = "background"  # what an answer shows that touches no described target
NOTHING = "no answer"
SIZES = {"small": "s", "medium": "m", "large": "l"}  # by COCO's areas


@dataclass(frozen=True, slots=True)
class Case:
    """One caption: the answer it got and what its image's candidates offered."""

    outcome: Outcome
    fate: str
    best_iou: float  # of the candidate that overlaps the target most
    num_candidates: int
    chance: float  # probability that a random candidate is right
    distance: float | None  # pixels between the centres of the target and its nearest look-alike
    candidates: Candidates
    scores: NDArray[np.floating] | None  # (N,) of the candidates for this caption
    overlaps: NDArray[np.float64]  # (N,) each candidate's IoU with the target of the caption that it overlaps most
    taken: str  # the caption of the target that the answer shows, BACKGROUND, or NOTHING where there is no answer

    @property
    def stage(self) -> str:
        """`right`, or the stage that lost it: `detector` or `scorer`."""
        return FATES[self.fate][0]


def kind_of(caption: str) -> str:
    """The kind of target a caption names: the longest known one it ends with, else its last word."""
    words = caption.lower().strip()
    return next((kind for kind in KINDS if words.endswith(kind)), words.rsplit(" ", 1)[-1])


def colour_of(caption: str) -> str:
    """What a caption says before the kind: its colours, in their order."""
    words = caption.lower().strip()
    return words.removesuffix(kind_of(caption)).strip() or "no colour"


def size_of(box_ltwh: Box) -> str:
    """COCO's size of a box: small, medium or large."""
    area = box_ltwh[2] * box_ltwh[3]
    return next((name for name, letter in SIZES.items() if area < AREAS[letter][1]), "large")


@dataclass(frozen=True)
class Scene:
    """An image's captions and targets: which of M captions describes which of G targets."""

    captions: list[str]
    targets_ltwh: NDArray[np.float64]  # (G, 4)
    described_MG: NDArray[np.bool_]

    def taken(self, place: int, box_ltwh: Box | None) -> tuple[str, float, float]:
        """What a box shows that answers caption `place`, and its IoU with the caption's own and with any target."""
        if box_ltwh is None:
            return NOTHING, 0.0, 0.0
        overlaps = iou_ltwh(self.targets_ltwh, np.asarray(box_ltwh, np.float64)[None])
        own = float(overlaps[self.described_MG[place]].max(initial=0.0))
        best = float(overlaps.max(initial=0.0))
        if best <= TOUCH_IOU:
            return BACKGROUND, own, best
        if own >= best:
            return self.captions[place], own, best
        describing = np.flatnonzero(self.described_MG[:, int(overlaps.argmax())])
        return self.captions[int(describing[0])], own, best


def scenes_of(outcomes: Sequence[Outcome]) -> dict[str, Scene]:
    """Every image's captions and targets, from the outcomes of all its captions."""
    annotations: dict[str, list[Annotation]] = {}
    for outcome in outcomes:
        annotations.setdefault(outcome.image, []).append(outcome.annotation)
    scenes = {}
    for image, asked in annotations.items():
        targets = AnnotatedImage(image, tuple(asked)).targets
        described = [[target in a.boxes_ltwh for target in targets] for a in asked]
        described_MG = np.asarray(described, bool).reshape(len(asked), len(targets))
        scenes[image] = Scene(
            [a.caption for a in asked], np.asarray(targets, np.float64).reshape(-1, 4), described_MG
        )  # fmt: skip
    return scenes


def cases_of(
    outcomes: Sequence[Outcome], sweeper: Sweeper, detector: str, cut: CutConfig, scorer: str | None
) -> list[Case]:
    """One case for each outcome; the candidates are those of `cut`, from the sweeper's store.

    The outcomes must be of the sweeper's truth, in its order (as `score_keyed` gives them). Of a one-stage model that
    answered alone each caption has candidates of its own, and their confidence is the score.
    """
    by_image, scenes, places = iter(outcomes), scenes_of(outcomes), Counter[str]()
    cases: list[Case] = []
    crops: Sequence[CropScores | None] = [None] * len(sweeper.replay.truth)
    if scorer is not None:
        crops = sweeper.replay.scores(scorer)
    for image, image_crops in zip(sweeper.replay.images(detector), crops, strict=True):
        candidates, _ = sweeper.candidates(image, cut)
        scores = None if image_crops is None else image_crops.of(candidates.boxes_xyxy)
        if image.grounded and len(candidates):
            scores = Scores(candidates.confidence[:, None].astype(np.float64), True)
        overlaps_NM = best_overlaps(image, image.overlaps_of(candidates.boxes_xyxy))
        for column in range(len(image.captions)):
            own = None if scores is None else scores.matrix_NM[:, column]
            scene, place = scenes[image.name], places[image.name]
            cases.append(_case(next(by_image), scene, place, candidates, own, overlaps_NM[:, column]))
            places[image.name] += 1
    return cases


def best_overlaps(image: ImageReplay, overlaps_NG: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) each candidate's IoU with the target of each caption that it overlaps most; 0 where there is none."""
    own = [overlaps_NG[:, described].max(axis=1, initial=0.0) for described in image.described_MG]
    return np.stack(own, axis=1) if own else np.zeros((len(overlaps_NG), 0))


def _case(
    outcome: Outcome,
    scene: Scene,
    place: int,
    candidates: Candidates,
    scores: NDArray[np.floating] | None,
    overlaps: NDArray[np.float64],
) -> Case:
    best = float(overlaps.max(initial=0.0))
    kind = kind_of(outcome.caption)
    alike = [n for n, c in enumerate(scene.captions) if n != place and kind_of(c) == kind]
    centres = scene.targets_ltwh[:, :2] + scene.targets_ltwh[:, 2:] / 2
    own, others = (centres[scene.described_MG[n].any(axis=0)] for n in ([place], alike))
    apart = np.linalg.norm(own[:, None] - others[None], axis=2).ravel().tolist()
    taken, own_iou, any_iou = scene.taken(place, None if outcome.prediction is None else outcome.prediction.box_ltwh)
    return Case(
        outcome=outcome,
        fate=_fate(outcome, best, taken, own_iou, any_iou),
        best_iou=best,
        num_candidates=len(candidates),
        chance=float((overlaps > HIT_IOU).mean()) if len(candidates) else 0.0,
        distance=min(apart, default=None),
        candidates=candidates,
        scores=scores,
        overlaps=overlaps,
        taken=taken,
    )


def _fate(outcome: Outcome, best: float, taken: str, own_iou: float, any_iou: float) -> str:
    if outcome.hit:
        return "right"
    if not outcome.truths_ltwh:
        return "false alarm"
    if best <= HIT_IOU:
        return "missed" if best <= TOUCH_IOU else "mislocated"
    if taken == NOTHING:
        return "no answer"
    if own_iou > TOUCH_IOU and own_iou >= any_iou:
        return "loose box"
    return BACKGROUND if taken == BACKGROUND else "other target"


def attribution(cases: Sequence[Case]) -> dict[str, Any]:
    """The figures that say where the errors are made.

    `chance`: a random candidate. `ceiling`: the best candidate by overlap, which is what a perfect scorer would give.
    `scorer_given_target`: accuracy where a good candidate was there, which is what a perfect detector would give if the
    captions it misses today were as easy as the others. `median_hit_iou`: how tight right answers are. Those four are
    of captions with one target, as accuracy is; errors and fates are of all.
    """
    one = [c for c in cases if len(c.outcome.truths_ltwh) == 1]
    num = len(one)
    right = [c for c in cases if c.fate == "right"]
    reachable = [c for c in one if c.best_iou > HIT_IOU]
    images = [c.outcome.image for c in one]
    low, high = (
        bootstrap_by_image(np.asarray([c.best_iou > HIT_IOU for c in one], float), images) if one else (0.0, 1.0)
    )
    overlaps = [c.outcome.iou for c in right if len(c.outcome.truths_ltwh) == 1]
    fates = {fate: sum(c.fate == fate for c in cases) for fate in FATES}
    return {
        "chance": ratio(sum(c.chance for c in one), num),
        "ceiling": ratio(len(reachable), num),
        "ceiling_ci95": [low, high],
        "scorer_given_target": ratio(sum(c.fate == "right" for c in reachable), len(reachable)),
        "median_hit_iou": float(np.median(overlaps)) if overlaps else 0.0,
        "candidates_per_image": float(
            np.mean([c.num_candidates for c in {c.outcome.image: c for c in cases}.values()])
        ),
        "num_errors": len(cases) - len(right),
        "num_errors_detector": sum(c.stage == "detector" for c in cases),
        "num_errors_scorer": sum(c.stage == "scorer" for c in cases),
        "stage_difference": (sum(c.stage == "detector" for c in cases) - sum(c.stage == "scorer" for c in cases))
        / len(cases),
        "stage_difference_ci95": list(_difference(cases)),
        "fates": fates,
    }


def _difference(cases: Sequence[Case]) -> tuple[float, float]:
    """95 % interval of the share lost by the detector minus the share lost by the scorer, by image."""
    sign = {"detector": 1.0, "scorer": -1.0}
    lost = np.asarray([sign.get(c.stage, 0.0) for c in cases])
    low, high = bootstrap_by_image(lost, [c.outcome.image for c in cases])
    return (low, high) if len({c.outcome.image for c in cases}) > 1 else (-1.0, 1.0)


def breakdown(cases: Iterable[Case], by: str) -> list[dict[str, Any]]:
    """Rows of accuracy and ceiling per `caption`, `kind`, `colour`, `size` or `look-alikes`, most captions first."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(group_of(case, by), []).append(case)
    rows = [
        {
            by: name,
            "captions": len(group),
            "accuracy": ratio(sum(c.fate == "right" for c in group), len(group)),
            "ceiling": ratio(sum(c.best_iou > HIT_IOU or not c.outcome.truths_ltwh for c in group), len(group)),
        }
        for name, group in groups.items()
    ]
    return sorted(rows, key=lambda row: (-int(row["captions"]), str(row[by])))


def group_of(case: Case, by: str) -> str:
    """Which `caption`, `kind`, `colour`, `size` or nearness of `look-alikes` a case belongs to."""
    caption = case.outcome.caption
    if by == "look-alikes":
        return _nearness(case)
    return {"caption": caption, "kind": kind_of(caption), "colour": colour_of(caption),
            "size": size_of(case.outcome.truths_ltwh[0]) if case.outcome.truths_ltwh else "no target"}[by]  # fmt: skip


def _nearness(case: Case) -> str:
    if case.distance is None:
        return "none in the scene"
    return "within 100 px" if case.distance < 100 else "within 300 px" if case.distance < 300 else "farther off"


def detection_errors(found: BoxTable, truth: BoxTable, match_iou: float = 0.5) -> dict[str, int]:
    """Boxes and targets by kind of error: `right`, `duplicate` (of a target that has its box), `mislocated` (touches a
    target), `background`; and `missed`, the targets without a right box."""
    right = match_by_confidence(found, truth, [match_iou])[:, 0]
    best = np.zeros(len(found))
    for image in np.unique(found.image):
        mine, true = np.flatnonzero(found.image == image), np.flatnonzero(truth.image == image)
        if len(true):
            best[mine] = iou_ltwh(found.box_ltwh[mine][:, None], truth.box_ltwh[true][None]).max(axis=1)
    wrong = ~right
    return {
        "right": int(right.sum()),
        "duplicate": int((wrong & (best >= match_iou)).sum()),
        "mislocated": int((wrong & (best < match_iou) & (best > TOUCH_IOU)).sum()),
        "background": int((wrong & (best <= TOUCH_IOU)).sum()),
        "missed": len(truth) - int(right.sum()),
    }


def slug(text: str) -> str:
    """A name fit for an HTML attribute or a file."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
