"""The records of a report's page: every image, caption, answer and candidate of its runs once, in a compact form.

Shapes: I images, M captions, K crops of an image, T targets of an image.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from core.progress import progress
from eval.answered import AnsweredRun
from eval.answers.outcomes import Outcome
from eval.attribution import FATES, Scene, colour_of, group_of, kind_of, scenes_of, size_of
from eval.report.gallery import CELL, COLUMNS, Images, Shown, worth_showing
from eval.report.margins import margins
from eval.report.matrix import kind_of_answer
from eval.report.offers import offers
from eval.report.packing import codes, offsets, packed, text

WRONG = "wrong"  # the fate of a wrong answer whose run's store is not at hand


@dataclass
class Payload:
    """What the page's script reads: `records` as JSON, and of each image a line of base64, empty where it has none."""

    records: dict[str, Any] = field(default_factory=dict)
    thumbnails: list[str] = field(default_factory=list)
    sheets: list[str] = field(default_factory=list)


def payload_of(
    runs: Sequence[AnsweredRun], sweeps: Sequence[dict[str, Any]], images: Images, crops: int, most: int, folder: Path
) -> Payload:
    """The records of runs over one truth, each with an outcome for the same captions in the same order.

    sweeps: rows of an eval.sweep over the last run's store. crops: of an image's candidates, those shown. most: images
    that get a thumbnail, evenly over the set. folder: where the page will lie, so that it finds the image files.
    """
    scenes = scenes_of(runs[0].outcomes)
    names = list(scenes)
    chosen = set(names if len(names) <= most else [names[n * len(names) // most] for n in range(most)])
    boxes = _boxes_by_image(runs, scenes, crops)
    told, shown = Payload(), []
    for name in progress(names, "reducing images", len(names)):
        one = images.show(name, boxes[name]) if name in chosen else None
        shown.append(one)
        told.thumbnails.append("" if one is None else text(one.thumbnail))
        told.sheets.append("" if one is None else text(one.sheet))
    last = len(runs) - 1
    told.records = {
        "cell": CELL, "columns": COLUMNS, "images": _images(names, scenes, shown, images, folder),
        "captions": _captions(runs[0].outcomes, names, scenes), "fates": [*FATES, WRONG],
        "stages": [*(stage for stage, _ in FATES.values()), "unknown"],
        "why": [*(why for _, why in FATES.values()), ""],
        "runs": [_run(run, scenes, sweeps if n == last else []) for n, run in enumerate(runs)],
    }  # fmt: skip
    return told


def _boxes_by_image(
    runs: Sequence[AnsweredRun], scenes: dict[str, Scene], crops: int
) -> dict[str, NDArray[np.floating]]:
    """The boxes whose crops each image shows: targets and answers first, then the most confident candidates."""
    first: dict[str, list[Any]] = {name: [_xyxy(t) for t in s.targets_ltwh.tolist()] for name, s in scenes.items()}
    rest: dict[str, list[NDArray[np.floating]]] = {name: [] for name in scenes}
    for run in runs:
        for outcome in run.outcomes:
            first[outcome.image] += [_xyxy(box) for box in outcome.boxes_ltwh]
        for case in {id(c.candidates): c for c in run.cases}.values():
            rest[case.outcome.image].append(case.candidates.boxes_xyxy)
    return {name: worth_showing(rest[name], np.asarray(first[name], np.float64), crops) for name in scenes}


def _xyxy(box: Sequence[float]) -> list[float]:
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def _images(
    names: Sequence[str], scenes: dict[str, Scene], shown: Sequence[Shown | None], images: Images, folder: Path
) -> dict[str, Any]:
    cells = [np.zeros((0, 4)) if one is None else one.cells_K4 for one in shown]
    targets = [scenes[name].targets_ltwh for name in names]
    return {
        "names": list(names),
        "sizes": packed([(0, 0) if one is None else one.size for one in shown], "i4"),
        "beside": _beside(images, folder),
        "cells_at": offsets([len(c) for c in cells]), "cells": packed(np.concatenate(cells), "i4"),
        "targets_at": offsets([len(t) for t in targets]), "targets": packed(np.concatenate(targets), "f8"),
    }  # fmt: skip


def _beside(images: Images, folder: Path) -> str | None:
    """The images' folder as seen from the page's, None where there is no way between them (another drive)."""
    if images.folder is None:
        return None
    try:
        way = os.path.relpath(images.folder.resolve(), folder.resolve())
    except ValueError:
        return None
    return quote(Path(way).as_posix())


def _captions(outcomes: Sequence[Outcome], names: Sequence[str], scenes: dict[str, Scene]) -> dict[str, Any]:
    place = {name: n for n, name in enumerate(names)}
    number: dict[str, int] = {}
    described = []
    for outcome in outcomes:
        at = number.get(outcome.image, 0)
        number[outcome.image] = at + 1
        described.append(np.flatnonzero(scenes[outcome.image].described_MG[at]))
    sizes = [size_of(o.truths_ltwh[0]) if o.truths_ltwh else "no target" for o in outcomes]
    return {
        "words": codes([o.caption for o in outcomes]),
        "ids": [o.annotation.id for o in outcomes] if any(o.annotation.id for o in outcomes) else None,
        "image": packed([place[o.image] for o in outcomes], "i4"),
        "targets_at": offsets([len(d) for d in described]), "targets": packed(np.concatenate(described), "u2"),
        "area": packed([min((w * h for _, _, w, h in o.truths_ltwh), default=0.0) for o in outcomes], "f4"),
        "facets": {"kind": codes([kind_of(o.caption) for o in outcomes]),
                   "colour": codes([colour_of(o.caption) for o in outcomes]), "size": codes(sizes)},
    }  # fmt: skip


def _run(run: AnsweredRun, scenes: dict[str, Scene], sweeps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One run's answers, and what it could have answered."""
    fates = [*FATES, WRONG]
    told = [c.fate for c in run.cases] or ["right" if o.hit else WRONG for o in run.outcomes]
    answers = [o.boxes_ltwh for o in run.outcomes]
    scores = [None if o.prediction is None else o.prediction.score for o in run.outcomes]
    confidences = [None if o.prediction is None else o.prediction.confidence for o in run.outcomes]
    facets = {"answered": codes([kind_of_answer(c) for c in run.cases])} if run.cases else {}
    facets |= {"look-alikes": codes([group_of(c, "look-alikes") for c in run.cases])} if run.cases else {}
    flat = [box for boxes in answers for box in boxes]
    return {
        "name": run.name, "facets": facets, "fate": packed([fates.index(f) for f in told], "u1"),
        "exact": packed([o.is_exact for o in run.outcomes], "u1"),
        "iou": packed([o.iou for o in run.outcomes], "f4"),
        "best_iou": packed([c.best_iou for c in run.cases] or [np.nan] * len(run.outcomes), "f4"),
        "margin": packed(margins(run.cases, run.is_sigmoid) if run.cases
                         else [np.nan] * len(run.outcomes), "f4"),
        "score": packed(np.asarray(scores, float), "f8"), "confidence": packed(np.asarray(confidences, float), "f4"),
        "answers_at": offsets([len(boxes) for boxes in answers]),
        "answers": packed(np.asarray(flat, float).reshape(-1, 4), "f4"),
        "offers": offers(run, sweeps),
    }  # fmt: skip
