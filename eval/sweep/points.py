"""One setting of the system, and how good it is by a replay."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.answering import Scores, answer
from core.choosing import NOBODY, ChoosingConfig, Combining, Select
from core.cuts import CutConfig, Point
from core.values import Candidates
from eval.answers.measures import FIGURES, RATIOS, Counts, parts_and_wholes, plain_figures
from eval.answers.outcomes import HIT_IOU
from eval.boxes.average_precision import MATCH_IOUS, sorted_precision
from eval.boxes.matching import match_by_confidence, match_pairs, overlap_pairs
from eval.boxes.operating_point import rates, ratio
from eval.boxes.table import BoxTable, make_table, truth_table
from eval.statistics import Resamples
from eval.sweep.loops import match_answers
from eval.sweep.replay import FLOOR, CropScores, ImageReplay, Replay

AP_MAX_DET = 100  # COCO's own limit of boxes per image


@dataclass(frozen=True)
class SystemPoint(Point):
    """One setting of a whole system: a point, and which detector, scorer and choosing."""

    detector: str
    scorer: str | None
    choosing: ChoosingConfig

    def columns(self) -> dict[str, Any]:
        """The setting as columns of a table."""
        fusion, chosen = self.cut.fusion, self.choosing
        return {
            "detector": self.detector, "views": self.views, "confidence": self.cut.confidence,
            "nms_iou": self.cut.nms_iou, "max_det": self.cut.max_det, "vote_iou": self.cut.vote_iou,
            "fusion": fusion.method.value, "wbf_iou": fusion.wbf_iou,
            "weights": " ".join(map(str, fusion.weights)) or None, "scorer": self.scorer, "method": chosen.method.value,
            "confidence_weight": None if chosen.combine is Combining.posterior else chosen.confidence_weight,
            "combine": chosen.combine.value, "refusal": chosen.refusal, "absent_below": chosen.absent_below,
            "select": chosen.select.value,
            "above": chosen.above if chosen.select is Select.above else None,
        }  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """What a point gave: one entry a caption, in the truth's order."""

    counts: Counts
    reachable: NDArray[np.bool_]  # some candidate overlaps a target of the caption by more than half
    chance: NDArray[np.float64]  # probability that a random candidate does


# boxes image after image, what each matches at MATCH_IOUS and at last the operating IoU, and the pairs by overlap
Table = tuple[BoxTable, NDArray[np.bool_], tuple[NDArray[np.intp], NDArray[np.intp]]]


@dataclass
class Sweeper:
    """Evaluates points of one replay, remembering what points share."""

    replay: Replay
    match_iou: float = 0.5
    _tables: dict[Any, Table] = field(default_factory=dict)
    _uncut: dict[Any, dict[str, float]] = field(default_factory=dict)
    _answered: dict[Any, "Judged"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.truth = truth_table(self.replay.truth)
        captions = [(entry.image, len(a.boxes_ltwh)) for entry in self.replay.truth for a in entry.annotations]
        self.num_truths = np.asarray([number for _, number in captions], np.intp)  # one entry a caption
        self._resamples = Resamples([image for image, _ in captions]) if captions else None

    def prepare(self, points: Sequence[SystemPoint]) -> None:
        """Run each NMS that the points will ask for, several overlaps at once."""
        for detector, views in sorted({(p.detector, p.views) for p in points}):
            ious = sorted({p.cut.nms_iou for p in points if (p.detector, p.views) == (detector, views)})
            for image in self.replay.images(detector, views):
                image.prepare(ious)

    def row(self, point: SystemPoint) -> dict[str, Any]:
        """The point's setting and all its figures."""
        return point.columns() | self.figures(point)

    def figures(self, point: SystemPoint) -> dict[str, Any]:
        """How good the point is, by every measure."""
        answers = self.answers(point)
        one = self.num_truths == 1
        return {
            **self._grounding(answers.counts),
            "num_hits": int(answers.counts.hit[one].sum()),
            "num_captions": len(self.num_truths),
            "ceiling": ratio(int(answers.reachable[one].sum()), int(one.sum())),
            "chance": float(answers.chance[one].mean()) if one.any() else 0.0,
            **self.detection(point),
        }

    def _grounding(self, counts: Counts) -> dict[str, Any]:
        """Every figure of the answers, and the intervals of those that are shares."""
        if self._resamples is None:
            return dict.fromkeys(FIGURES)
        told: dict[str, Any] = plain_figures(counts)
        intervals = self._resamples.intervals(*parts_and_wholes(counts))
        for name, (low, high) in zip(RATIOS, intervals, strict=True):
            known = told[name] is not None
            told |= {f"{name}_ci95_low": low if known else None, f"{name}_ci95_high": high if known else None}
        return told

    # detection

    def detection(self, point: SystemPoint) -> dict[str, Any]:
        """AP of every box of the point's NMS, fusion and max_det; then AP and counts of those above its confidence."""
        table, matched, pairs = self._table(point)
        passed = table.score >= np.float32(point.cut.confidence)
        chosen = table.take(passed)
        uncut_key = self._key(point, FLOOR)
        if uncut_key not in self._uncut:
            whole = point if self._is_plain(point) else replace(point, cut=replace(point.cut, confidence=FLOOR))
            self._uncut[uncut_key] = self._precision(*self._table(whole)[:2], "")
        num_tp_overlap = int(match_pairs(pairs, passed).sum())
        return {
            **self._uncut[uncut_key],
            **self._precision(chosen, matched[passed], "_cut"),
            **rates(int(matched[passed, -1].sum()), len(chosen), len(self.truth)),
            "map50_over_truth": ratio(num_tp_overlap, len(self.truth)),
            "map50_over_predictions": ratio(num_tp_overlap, len(chosen)),
        }

    def _precision(self, table: BoxTable, matched: NDArray[np.bool_], suffix: str) -> dict[str, float]:
        seen = table.rank_within_image() < AP_MAX_DET
        order = np.argsort(-table.score[seen], kind="stable")
        precision = sorted_precision(matched[seen][order][:, : len(MATCH_IOUS)], len(self.truth))
        return {f"AP{suffix}": float(precision.mean()), f"AP50{suffix}": float(precision[0].mean())}

    def _is_plain(self, point: SystemPoint) -> bool:
        """Whether raising the confidence only ever drops boxes: true for one view, not for fused ones."""
        return all(len(image.views) == 1 for image in self.replay.images(point.detector, point.views))

    def _key(self, point: SystemPoint, confidence: float) -> Any:
        return (
            point.detector,
            point.views,
            repr(replace(point.cut, confidence=confidence)),
        )  # every cut, also a new one

    def _table(self, point: SystemPoint) -> Table:
        """Every box from the lowest useful confidence on, and what it matches."""
        floor = FLOOR if self._is_plain(point) else point.cut.confidence
        key = self._key(point, floor)
        if key not in self._tables:
            found = self._boxes(point, floor)
            matched = match_by_confidence(found, self.truth, [*MATCH_IOUS, self.match_iou])
            self._tables[key] = found, matched, overlap_pairs(found, self.truth, 0.5)
        return self._tables[key]

    def _boxes(self, point: SystemPoint, floor: float) -> BoxTable:
        sets = [image.cut_and_fuse(replace(point.cut, confidence=floor)) for image in self._images(point)]
        boxes = np.concatenate([s.boxes_xyxy for s in sets]).astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        image = np.repeat(np.arange(len(sets)), [len(s) for s in sets])
        return make_table(image, boxes, np.concatenate([s.confidence for s in sets]), len(sets))

    def _images(self, point: SystemPoint) -> list[ImageReplay]:
        return self.replay.images(point.detector, point.views)

    # grounding

    def answers(self, point: SystemPoint) -> Answers:
        """What every caption gets at this point.

        Raises NotCovered when a crop that the point needs has never been scored.
        """
        scores: Sequence[CropScores | None] = [None] * len(self.replay.truth)
        if point.scorer is not None:
            scores = self.replay.scores(point.scorer)
        chosen_by = repr(point.choosing)  # every setting of it, also a new one; once a point, as it takes its time
        pairs = zip(self._images(point), scores, strict=True)
        said = [self._answer(image, crops, point, chosen_by) for image, crops in pairs]
        columns = [np.concatenate(part) for part in zip(*said, strict=True)]
        num_boxes, num_matched, hit, score, sure, reachable, chance = columns
        return Answers(Counts(self.num_truths, num_boxes, num_matched, hit, score, sure), reachable, chance)

    def _answer(self, image: ImageReplay, crops: CropScores | None, point: SystemPoint, chosen_by: str) -> "Judged":
        """What one image's captions get; neighbouring points often leave the same candidates."""
        kept = image.cut_views(point.cut.confidence, point.cut.nms_iou, point.cut.max_det)
        if len(kept) != 1:
            candidates, overlaps_NG = self.candidates(image, point.cut)
            return _judged(image, candidates, overlaps_NG, _scored(crops, candidates, image), point.choosing)
        key = (id(image), id(crops), chosen_by, point.cut.vote_iou, kept[0].tobytes())
        if key not in self._answered:
            candidates, overlaps_NG = self.candidates(image, point.cut)
            raw = len(kept[0]) > 0 and not image.grounded and not point.cut.vote_iou
            scores = _scored_raw(crops, image, kept[0]) if raw else _scored(crops, candidates, image)
            self._answered[key] = _judged(image, candidates, overlaps_NG, scores, point.choosing)
        return self._answered[key]

    def candidates(self, image: ImageReplay, cut: CutConfig) -> tuple[Candidates, NDArray[np.float64]]:
        """The image's candidates at a cut, with their (N, G) overlaps with its targets."""
        kept = image.cut_views(cut.confidence, cut.nms_iou, cut.max_det)
        if len(kept) == 1 and len(kept[0]) and not cut.vote_iou:  # nothing is fused: raw boxes' overlaps are known
            return Candidates(image.boxes_xyxy[kept[0]], image.confidence[kept[0]]), image.overlaps[kept[0]]
        candidates = image.candidates(cut)
        return candidates, image.overlaps_of(candidates.boxes_xyxy)


class NotCovered(Exception):  # noqa: N818 (it is an answer, not a defect)
    """The store lacks a crop that a point needs."""


# of one image's M captions: boxes answered, matches, hits, scores and sureness of the best box, reachable, chance
Judged = tuple[NDArray[Any], ...]


def _judged(
    image: ImageReplay,
    candidates: Candidates,
    overlaps_NG: NDArray[np.float64],
    scores: Scores | None,
    choosing: ChoosingConfig,
) -> Judged:
    """What one image's captions get of its candidates, as `eval.answers.outcomes` would judge it."""
    hits_NM = image.hits_of(overlaps_NG)
    told = answer(candidates, scores, hits_NM.shape[1], choosing)
    chosen, answered_NM = told.chosen_M, told.choice.answered_NM
    somebody = chosen != NOBODY
    place, caption = chosen[somebody], np.flatnonzero(somebody)
    hit: NDArray[np.bool_] = np.logical_not(image.described_MG.any(axis=1) | somebody)
    hit[somebody] = hits_NM[place, caption]
    sure, score = np.full(len(chosen), -np.inf), np.full(len(chosen), np.nan)
    sure[somebody] = candidates.confidence[place]
    if scores is not None:
        score[somebody] = sure[somebody] = scores.matrix_NM[place, caption]
    if answered_NM is None:
        num_boxes, num_matched = somebody.astype(np.intp), (hit & somebody).astype(np.intp)
    else:
        num_boxes = answered_NM.sum(axis=0)
        num_matched = match_answers(overlaps_NG, image.described_MG, answered_NM, HIT_IOU)
    reachable = np.asarray(hits_NM.any(axis=0))
    return num_boxes, num_matched, hit, score, sure, reachable, hits_NM.sum(axis=0) / max(1, len(candidates))


def _scored_raw(crops: CropScores | None, image: ImageReplay, places: NDArray[np.intp]) -> Scores | None:
    """As `_scored` for raw boxes of the image, whose crops are looked up once for all points."""
    if crops is None:
        return None
    scores = crops.of_raw(image.boxes_xyxy, places)
    if scores is None:
        raise NotCovered(image.name)
    return scores


def _scored(crops: CropScores | None, candidates: Candidates, image: ImageReplay) -> Scores | None:
    if image.grounded and len(candidates):
        return Scores(candidates.confidence[:, None].astype(np.float64), True)
    if crops is None or not len(candidates):
        return None
    scores = crops.of(candidates.boxes_xyxy)
    if scores is None:
        raise NotCovered(image.name)
    return scores
