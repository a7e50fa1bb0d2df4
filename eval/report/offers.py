"""What a run's detector offered and its scorer said, at every setting that the page can be set to without a model.

Shapes: G groups (an image; of a one-stage model a caption), N offered boxes of a group, M its captions.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.answering import Scores
from core.choosing import ChoosingConfig
from core.cuts import CutConfig
from core.values import Candidates
from eval.answered import AnsweredRun
from eval.answers.outcomes import HIT_IOU
from eval.boxes.matching import match_by_confidence
from eval.boxes.table import BoxTable, make_table
from eval.report.packing import offsets, packed
from eval.sweep.points import Sweeper
from eval.sweep.replay import CropScores, ImageReplay

MOST_BOXES = 150  # of an image; where more pass, the lowest confidence rises
LOCKED = ("detector", "scorer", "views", "fusion", "vote_iou", "refusal")  # what the page cannot change
MOST_OVERLAPS = 16  # of NMS, each a bit of a box


@dataclass
class Reach:
    """The settings that the page can be set to: confidences from `floor` on, these overlaps of NMS, these limits.

    is_fixed: several views are fused or boxes voted on, so that the cuts stay those of the run.
    """

    floor: float
    nms_ious: list[float]
    max_dets: list[int | None]
    is_fixed: bool = False


@dataclass
class Group:
    """What one group was offered, by falling confidence.

    stays_N, right_N: bit t tells whether a box survives NMS at overlap t, and whether it then matches a target.
    logits_NM, logs_NM2: of the scorer, and `core.posterior.caption_logs`; None without one.
    """

    found: Candidates
    stays_N: NDArray[np.uint32]
    logits_NM: NDArray[np.floating] | None
    logs_NM2: NDArray[np.float64] | None
    overlaps_NG: NDArray[np.float64]
    right_N: NDArray[np.uint32] = field(init=False)


def offers(run: AnsweredRun, sweeps: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Everything that the page's script needs to answer again; None where the run's store is not at hand.

    sweeps: rows of an eval.sweep over the same store, whose settings are offered too.
    """
    if run.sweeper is None or run.point is None:
        return None
    images = run.sweeper.replay.images(run.point.detector)
    said = _said(run)
    reach = _reach(run, images, [logits for logits, _ in said], sweeps)
    cut = run.point.cut
    groups = [_fixed_group(run.sweeper, i, s, cut) if reach.is_fixed else _group(i, s, reach)
              for i, s in zip(images, said, strict=True)]  # fmt: skip
    _match(run.sweeper, groups, reach)
    choosing = run.point.choosing
    about = {
        "floor": reach.floor, "nms_ious": reach.nms_ious, "max_dets": reach.max_dets, "fixed": reach.is_fixed,
        "num_truth": len(run.sweeper.truth), "grounded": any(i.grounded for i in images),
        "own": _own(cut, choosing), "scored": run.point.scorer is not None or any(i.grounded for i in images),
        "keys": {name: run.point.columns()[name] for name in LOCKED},
        "posterior": asdict(choosing.posterior), "refusal": choosing.refusal,
        "sigmoid": run.is_sigmoid, "fallback": choosing.fallback.value,
    }  # fmt: skip
    return about | _arrays(images, groups)


def _own(cut: CutConfig, choosing: ChoosingConfig) -> dict[str, Any]:
    return {
        "confidence": cut.confidence, "nms_iou": cut.nms_iou, "max_det": cut.max_det,
        "weight": choosing.confidence_weight,
        "combine": choosing.combine.value, "absent_below": choosing.absent_below, "select": choosing.select.value,
        "above": choosing.above, "method": choosing.method.value,
    }  # fmt: skip


Said = tuple[CropScores | None, CropScores | None]  # an image's crops by their logits, and by their scores


def _said(run: AnsweredRun) -> Sequence[Said]:
    assert run.sweeper is not None
    assert run.point is not None
    replay, scorer = run.sweeper.replay, run.point.scorer
    if scorer is None:
        return [(None, None)] * len(replay.truth)
    return list(zip(replay.logits(scorer), replay.scores(scorer), strict=True))


def _reach(
    run: AnsweredRun, images: Sequence[ImageReplay], logits: Sequence[CropScores | None], rows: Sequence[dict[str, Any]]
) -> Reach:
    """The settings of the run, of its export's sweep lists and of a sweep, as far as every crop of them was scored."""
    assert run.point is not None
    assert run.export is not None
    own = run.point.cut
    if own.vote_iou or any(len(image.views) != 1 for image in images):
        return Reach(own.confidence, [own.nms_iou], [own.max_det], True)
    lists = run.export.setting("sweep") or {}

    def asked(name: str, value: Any) -> list[Any]:
        return list(dict.fromkeys([value, *(lists.get(name) or []), *(row[name] for row in rows if name in row)]))

    least = min(asked("confidence", own.confidence))
    ious = sorted(asked("nms_iou", own.nms_iou), key=lambda iou: abs(iou - own.nms_iou))[:MOST_OVERLAPS]
    limits = asked("max_det", own.max_det)
    for image in images:
        image.prepare(ious)
    lack = {(i, d): _lack(images, logits, least, i, d) for i, d in product(ious, limits)}
    if any(lack[own.nms_iou, d] >= own.confidence for d in limits):
        limits = [own.max_det]
    ious = sorted(i for i in ious if all(lack[i, d] < own.confidence for d in limits))
    most = max(lack[i, d] for i, d in product(ious, limits))
    limits = sorted(limits, key=lambda d: np.inf if d is None else d)
    crowd = max((_crowd(image, least, ious, limits[-1]) for image in images), default=-1.0)
    above = max(most, crowd)
    floor = least if above < least else float(np.nextafter(np.float32(above), np.float32(1)))
    return Reach(min(floor, own.confidence), ious, limits)


def _lack(
    images: Sequence[ImageReplay], logits: Sequence[CropScores | None], least: float, iou: float, limit: int | None
) -> float:
    """The highest confidence of a box that passes these cuts and was never scored; -1 where there is none."""
    highest = -1.0
    for image, crops in zip(images, logits, strict=True):
        places = image.cut_views(least, iou, limit)[0]
        if crops is None or not len(places):
            continue
        unscored = ~crops.of_all(image.boxes_xyxy)[0][places]
        highest = max(highest, float(image.confidence[places][unscored].max(initial=-1.0)))
    return highest


def _union(image: ImageReplay, least: float, ious: Sequence[float], limit: int | None) -> NDArray[np.intp]:
    """The places of all boxes that pass at one of the overlaps, by falling confidence; the first of all at least."""
    kept = [image.cut_views(least, iou, limit)[0] for iou in ious]
    order = np.argsort(-image.confidence, kind="stable")
    wanted = np.zeros(len(order), bool)
    wanted[np.concatenate([*kept, order[:1]])] = True
    return order[wanted[order]]


def _crowd(image: ImageReplay, least: float, ious: Sequence[float], limit: int | None) -> float:
    """The confidence of the box that is one too many, -1 where there are few."""
    places = _union(image, least, ious, limit)
    return float(image.confidence[places[MOST_BOXES]]) if len(places) > MOST_BOXES else -1.0


def _told(scores: Sequence[Scores | None]) -> tuple[NDArray[np.floating] | None, NDArray[np.float64] | None]:
    """The logits, and the logarithms of a posterior."""
    logits, own = scores
    return None if logits is None else logits.matrix_NM, None if own is None else own.logs_NM2


def _group(image: ImageReplay, said: Said, reach: Reach) -> Group:
    places = _union(image, reach.floor, reach.nms_ious, reach.max_dets[-1])
    stays = np.zeros(len(places), np.uint32)
    for bit, iou in enumerate(reach.nms_ious):
        stays |= np.isin(places, image.cut_views(reach.floor, iou, reach.max_dets[-1])[0]).astype(np.uint32) << bit
    found = Candidates(image.boxes_xyxy[places], image.confidence[places])
    scores = [None if crops is None else crops.of_all(image.boxes_xyxy)[1].take(places) for crops in said]
    return Group(found, stays, *_told(scores), image.overlaps[places])


def _fixed_group(sweeper: Sweeper, image: ImageReplay, said: Said, cut: CutConfig) -> Group:
    """The run's own candidates; those that only stand in where nothing passed survive no NMS."""
    found, overlaps_NG = sweeper.candidates(image, cut)
    scores = [None if crops is None or not len(found) else crops.of(found.boxes_xyxy) for crops in said]
    passed = len(image.cut_and_fuse(cut)) > 0
    return Group(found, np.full(len(found), int(passed), np.uint32), *_told(scores), overlaps_NG)


def _match(sweeper: Sweeper, groups: Sequence[Group], reach: Reach) -> None:
    """Which boxes match a target at each overlap of NMS, as the sweep's precision, recall and F1 count them."""
    for group in groups:
        group.right_N = np.zeros(len(group.found), np.uint32)
    for bit in range(len(reach.nms_ious)):
        stays = [np.flatnonzero(group.stays_N >> bit & 1) for group in groups]
        table = _table(groups, stays)
        matched = match_by_confidence(table, sweeper.truth, [sweeper.match_iou])[:, 0]
        parts = np.split(matched, np.cumsum([len(places) for places in stays])[:-1]) if groups else []
        for group, places, own in zip(groups, stays, parts, strict=True):
            group.right_N[places] |= own.astype(np.uint32) << bit


def _table(groups: Sequence[Group], stays: Sequence[NDArray[np.intp]]) -> BoxTable:
    boxes = np.concatenate([g.found.boxes_xyxy[s] for g, s in zip(groups, stays, strict=True)]).astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    confidence = np.concatenate([g.found.confidence[s] for g, s in zip(groups, stays, strict=True)])
    return make_table(np.repeat(np.arange(len(groups)), [len(s) for s in stays]), boxes, confidence, len(groups))


def _arrays(images: Sequence[ImageReplay], groups: Sequence[Group]) -> dict[str, Any]:
    pairs = [np.nonzero(group.overlaps_NG > HIT_IOU) for group in groups]
    logits = [np.zeros(0) if g.logits_NM is None else g.logits_NM.ravel() for g in groups]
    logs = [np.zeros(0) if g.logs_NM2 is None else g.logs_NM2.ravel() for g in groups]
    return {
        "captions_at": offsets([len(image.captions) for image in images]),
        "boxes_at": offsets([len(group.found) for group in groups]),
        "boxes": packed(np.concatenate([g.found.boxes_xyxy for g in groups]), "f4"),
        "confidence": packed(np.concatenate([g.found.confidence for g in groups]), "f4"),
        "stays": packed(np.concatenate([g.stays_N for g in groups]), "u4"),
        "right": packed(np.concatenate([g.right_N for g in groups]), "u4"),
        "logits": packed(np.concatenate(logits), "f4"), "logs": packed(np.concatenate(logs), "f8"),
        "pairs_at": offsets([len(box) for box, _ in pairs]),
        "pair_box": packed(np.concatenate([box for box, _ in pairs]), "u2"),
        "pair_target": packed(np.concatenate([target for _, target in pairs]), "u2"),
        "pair_iou": packed(np.concatenate([g.overlaps_NG[p] for g, p in zip(groups, pairs, strict=True)]), "f8"),
    }  # fmt: skip
