"""The images of a report: scenes reduced once each, and candidates' crops, as data that fits into the page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.boxes import xyxy_to_ltwh
from core.errors import InputError
from core.images import encode_image, read_image
from core.listing import image_path
from core.pixels import crop_box
from core.values import Box
from eval.attribution import FATES, Case, colour_of, kind_of, size_of, slug

SCENE_WIDTH = 640  # pixels of a scene in the page
CROPS = 5  # of a caption's candidates, those shown
CROP_SIDE = 72  # pixels of a crop in the page


@dataclass
class Scene:
    """A reduced image; its boxes are drawn by the page in the original's pixels."""

    key: str
    name: str
    width: int
    height: int
    data: str


@dataclass
class Images:
    """Reads each scene once; an image that cannot be read is remembered as missing."""

    folder: Path | None
    scenes: dict[str, Scene] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    _last: tuple[str, NDArray[np.uint8] | None] = ("", None)

    def image(self, name: str) -> NDArray[np.uint8] | None:
        """The full image, None when it cannot be had."""
        if self._last[0] != name:
            self._last = name, self._read(name)
        return self._last[1]

    def _read(self, name: str) -> NDArray[np.uint8] | None:
        if self.folder is None:
            return None
        try:
            return read_image(image_path(self.folder, name))
        except InputError:
            self.missing.append(name)
            return None

    def scene(self, name: str) -> Scene | None:
        """The reduced image for the page."""
        if name not in self.scenes:
            image = self.image(name)
            if image is None:
                return None
            height, width = image.shape[:2]
            scale = min(1.0, SCENE_WIDTH / width)
            reduced = _resized(image, max(1, round(width * scale)), max(1, round(height * scale)))
            key = f"scene-{len(self.scenes)}"
            self.scenes[name] = Scene(key, name, width, height, _jpeg(reduced, 72))
        return self.scenes[name]

    def crop(self, name: str, box_xyxy: Sequence[float]) -> str | None:
        """A crop as a square of the page, enlarged by interpolation and bordered as its shape needs."""
        image = self.image(name)
        if image is None:
            return None
        crop = crop_box(image, box_xyxy)
        scale = CROP_SIDE / max(crop.shape[:2])
        size = [max(1, round(side * scale)) for side in crop.shape[:2]]
        canvas = np.full((CROP_SIDE, CROP_SIDE, 3), 238, np.uint8)
        top, left = (CROP_SIDE - size[0]) // 2, (CROP_SIDE - size[1]) // 2
        canvas[top : top + size[0], left : left + size[1]] = _resized(crop, size[1], size[0])
        return _jpeg(canvas, 80)


def _resized(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    import cv2

    shrinks = width < image.shape[1]
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def _jpeg(image: NDArray[np.uint8], quality: int) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encode_image(image, ".jpg", quality)).decode("ascii")


def card(case: Case, images: Images) -> dict[str, Any]:
    """One caption for the gallery: its scene, its boxes, and the candidates' crops by falling score."""
    outcome = case.outcome
    target = outcome.truths_ltwh[0] if outcome.truths_ltwh else None
    return {
        "scene": images.scene(outcome.image),
        "image": outcome.image,
        "caption": outcome.caption,
        "fate": case.fate,
        "fate_slug": slug(case.fate),
        "stage": case.stage,
        "why": FATES[case.fate][1],
        "truths": outcome.truths_ltwh,
        "answers": outcome.boxes_ltwh,
        "iou": outcome.iou,
        "best_iou": case.best_iou,
        "score": None if outcome.prediction is None else outcome.prediction.score,
        "kind": kind_of(outcome.caption),
        "colour": colour_of(outcome.caption),
        "size": "no target" if target is None else size_of(target),
        "truth_crop": None if target is None else images.crop(outcome.image, _xyxy(target)),
        "crops": _crops(case, images),
        "num_candidates": case.num_candidates,
    }


def _xyxy(box: Box) -> tuple[float, float, float, float]:
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def _crops(case: Case, images: Images) -> list[dict[str, Any]]:
    worth = case.candidates.confidence if case.scores is None else case.scores
    boxes_ltwh = xyxy_to_ltwh(case.candidates.boxes_xyxy.astype(np.float64))
    answers = case.outcome.boxes_ltwh
    crops = []
    for place in np.argsort(-np.asarray(worth), kind="stable")[:CROPS]:
        box = case.candidates.boxes_xyxy[place]
        crops.append(
            {
                "data": images.crop(case.outcome.image, box.tolist()),
                "score": None if case.scores is None else float(case.scores[place]),
                "confidence": float(case.candidates.confidence[place]),
                "chosen": any(np.allclose(boxes_ltwh[place], answer, atol=1e-3) for answer in answers),
                "iou": max((_iou(tuple(boxes_ltwh[place].tolist()), t) for t in case.outcome.truths_ltwh), default=0.0),
            }
        )
    return crops


def _iou(a: Box, b: Box) -> float:
    from eval.answers.outcomes import iou_ltwh

    return iou_ltwh(b, a)


def spread(cases: Sequence[Case], most: int) -> list[Case]:
    """At most `most` cases, evenly over the set so that the gallery is no list of the first images only."""
    if len(cases) <= most:
        return list(cases)
    return [cases[round(n * (len(cases) - 1) / (most - 1))] for n in range(most)] if most > 1 else list(cases[:most])
