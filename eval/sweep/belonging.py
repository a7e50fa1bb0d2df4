"""Signs that a store and a truth of equal names are of different sets, which no join of names can see."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.boxes import box_area, clip_xyxy, ltwh_to_xyxy
from core.errors import InputError
from core.files import read_json
from data.captions import read_annotations
from eval.answers.outcomes import HIT_IOU
from eval.runs import read_settings
from eval.sweep.replay import ImageReplay, Replay

ROUNDING_PX = 1.0  # over an edge: a habit of some tools
FEW = 5  # targets: too few to say anything by what no candidate meets


def doubts(replay: Replay, truth: str, detectors: Sequence[str]) -> list[str]:
    """One line for each sign; none for a truth and a store that fit."""
    images = replay.images(detectors[0])
    found = [_outside(images, truth), _met_by_nothing(images, truth), _other_annotations(replay, truth)]
    return [line for line in found if line is not None]


def _outside(images: Sequence[ImageReplay], truth: str) -> str | None:
    """Targets over the edges of the images that the store was made of."""
    over: list[str] = []
    wholly = total = 0
    for image in images:
        boxes = ltwh_to_xyxy(image.targets_ltwh)
        inside = np.asarray(clip_xyxy(boxes, *image.size), np.float64)
        beyond = np.abs(inside - boxes).max(axis=1, initial=0.0) > ROUNDING_PX
        wholly += int((box_area(inside) <= 0).sum())
        total += len(boxes)
        over += [f"{image.name}, {image.size[0]} x {image.size[1]}" for _ in np.flatnonzero(beyond)]
    if not over:
        return None
    return (
        f"{truth}: {len(over)} of {total} boxes lie over the edge of the store's images, {wholly} of them wholly "
        f"outside (first: {over[0]})"
    )


def _met_by_nothing(images: Sequence[ImageReplay], truth: str) -> str | None:
    """Candidates everywhere and targets everywhere, and none meets another."""
    targets = sum(len(image.targets_ltwh) for image in images)
    candidates = sum(len(image.boxes_xyxy) for image in images)
    if targets < FEW or not candidates or any((image.overlaps > HIT_IOU).any() for image in images):
        return None
    return (
        f"{truth}: none of its {targets} targets overlaps any of the store's {candidates} candidates by more than "
        f"{HIT_IOU:g}; are these the same images?"
    )


def _other_annotations(replay: Replay, truth: str) -> str | None:
    """The annotations that the store's own export was given, where they are at hand, and these have no box in common.

    Corrected boxes differ in some images; another set differs in all.
    """
    run = replay.store.folder.resolve().parent
    given = read_settings(run).get("annotations") if (run / "config.yaml").is_file() else None
    record = read_json(run / "run.json") if (run / "run.json").is_file() else {}
    if not isinstance(given, str):
        return None
    source = next((p for p in (Path(given), Path(str(record.get("folder", ""))) / given) if p.is_file()), None)
    if source is None or source.resolve() == Path(truth).resolve():
        return None
    try:
        exported = {image.image: set(image.targets) for image in read_annotations(source)}
    except InputError:  # captions without boxes
        return None
    both = [(image.image, exported[image.image], set(image.targets)) for image in replay.truth
            if image.image in exported and exported[image.image] and image.targets]  # fmt: skip
    if len(both) < 2 or any(ours & theirs for _, theirs, ours in both):
        return None
    return (
        f"{truth}: of {len(both)} images that {source} names too, from which the store was made, not one has a box in "
        f"common (first: {both[0][0]}); are these the same images?"
    )
