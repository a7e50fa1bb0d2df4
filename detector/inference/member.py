"""One checkpoint at one resolution: its images, slices and views through the network and back."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.boxes import clip_xyxy
from core.errors import InputError
from core.files import sha256_bytes
from core.stages import Image, View
from core.values import Candidates
from detector.inference.denoising import denoise
from detector.inference.letterbox import Letterbox, input_shape, letterbox
from detector.inference.network import Network
from detector.inference.slicing import Window, check_slices, slice_windows
from detector.inference.views import TTA, ViewTransform, parse_view
from detector.settings import Denoise, MemberConfig

FLOOR = 0.001  # candidates are kept down to this confidence, so that every higher cut can be made later
MAX_CANDIDATES = 30_000  # a view of an untrained network would otherwise keep every anchor; Ultralytics' own limit

ImageSize = int | tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Look:
    """One input to the network and how its boxes come back into the image."""

    image: int
    view: str
    window: Window
    transform: ViewTransform
    imgsz: ImageSize


class Member:
    """A network with its image size, views and slices."""

    def __init__(self, config: MemberConfig, network: Network, name: str) -> None:
        check_slices(config.slices)
        self.name = name
        self._network = network
        self._config = config
        self._imgsz = network.fixed_shape or _size(config.imgsz, "detector.imgsz") or network.imgsz
        self._slice_imgsz = network.fixed_shape or _size(config.slices.imgsz, "detector.slices.imgsz") or self._imgsz
        self._views = [parse_view(view) for view in config.views]
        if len({view.name for view in self._views}) != len(self._views):
            raise InputError(f"detector.views: {config.views} names a view twice")

    @property
    def key(self) -> str:
        """Content key: the weights and every setting that changes boxes."""
        slices = {k: str(v) for k, v in asdict(self._config.slices).items()}
        settings = [str(self._imgsz), str(self._slice_imgsz), list(self._config.views), slices]
        rest = [self._config.half, list(self._config.classes), FLOOR, MAX_CANDIDATES]
        if self._config.denoise is not Denoise.none:  # said only where it is set: earlier stores keep their keys
            rest.append(f"denoise {self._config.denoise.value}")
        return sha256_bytes(repr([self._network.digest, settings, rest]).encode())[:16]

    def propose(self, images: Sequence[Image]) -> list[list[View]]:
        """Per image one View for the full image of each view and for each slice, in image pixels, before NMS."""
        if self._config.denoise is Denoise.auto:
            images = [denoise(image) for image in images]
        looks = [look for index, image in enumerate(images) for look in self._looks(index, image)]
        found: dict[int, Candidates] = {}
        for group in self._batches(looks):
            for number, candidates in self._run(images, looks, group):
                found[number] = candidates
        views: list[list[View]] = [[] for _ in images]
        for number, look in enumerate(looks):
            views[look.image].append(View(f"{self.name}/{look.view}", found[number]))
        return views

    def _looks(self, index: int, image: Image) -> Iterator[_Look]:
        height, width = image.shape[:2]
        if self._config.slices.full:
            for view in self._views:
                yield _Look(index, view.name, (0, 0, width, height), view, self._imgsz)
        for window in slice_windows(self._config.slices, width, height):
            name = "slice_" + "_".join(map(str, window))
            yield _Look(index, name, window, parse_view("plain"), self._slice_imgsz)

    def _shape(self, look: _Look) -> tuple[int, int]:
        if self._network.fixed_shape is not None:
            return self._network.fixed_shape
        height, width = look.window[3] - look.window[1], look.window[2] - look.window[0]
        if look.transform.turns % 2:
            height, width = width, height
        imgsz = _scaled(look.imgsz, look.transform.scale)
        if isinstance(imgsz, tuple) and look.transform.turns % 2:
            imgsz = (imgsz[1], imgsz[0])
        return input_shape((height, width), imgsz, self._network.stride)

    def _batches(self, looks: Sequence[_Look]) -> Iterator[list[int]]:
        """Numbers of looks that share an input shape and a way through the network, at most `batch` at a time."""
        groups: dict[Any, list[int]] = defaultdict(list)
        for number, look in enumerate(looks):
            groups[(self._shape(look), look.view == TTA)].append(number)
        for numbers in groups.values():
            for start in range(0, len(numbers), max(1, self._config.batch)):
                yield numbers[start : start + max(1, self._config.batch)]

    def _run(
        self, images: Sequence[Image], looks: Sequence[_Look], numbers: Sequence[int]
    ) -> Iterator[tuple[int, Candidates]]:
        shape, tta = self._shape(looks[numbers[0]]), looks[numbers[0]].view == TTA
        inputs, boxes_back = [], []
        for number in numbers:
            left, top, right, bottom = looks[number].window
            image = looks[number].transform.apply(images[looks[number].image][top:bottom, left:right])
            filled, back = letterbox(image, shape)
            inputs.append(filled)
            boxes_back.append(back)
        outputs = self._network.predict(np.stack(inputs), FLOOR, published_tta=tta)
        for number, raw, back in zip(numbers, outputs, boxes_back, strict=True):
            yield number, _place(raw, back, looks[number])


def _place(raw: Candidates, back: Letterbox, look: _Look) -> Candidates:
    """Candidates in input pixels -> in image pixels, cut to the image; boxes left without area are dropped."""
    if len(raw) > MAX_CANDIDATES:
        raw = raw.take(np.argsort(-raw.confidence, kind="stable")[:MAX_CANDIDATES])
    left, top, right, bottom = look.window
    boxes = look.transform.undo(back.undo(raw.boxes_xyxy), right - left, bottom - top)
    inside = clip_xyxy(boxes, right - left, bottom - top) + np.asarray([left, top, left, top], np.float64)
    whole = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
    return Candidates(inside.astype(np.float32), raw.confidence).take(whole)


def _scaled(imgsz: ImageSize, scale: float) -> ImageSize:
    if isinstance(imgsz, tuple):
        return round(imgsz[0] * scale), round(imgsz[1] * scale)
    return round(imgsz * scale)


def _size(value: Any, name: str) -> ImageSize | None:
    """A side, a (height, width) or None from a setting."""
    if value is None:
        return None
    sides: list[Any] = list(value) if not isinstance(value, int | float | str) else [value]
    if not (len(sides) in {1, 2} and all(isinstance(s, int) and s >= 32 for s in sides)):
        raise InputError(f"{name}: {value!r} must be a side of 32 px or more, or [height, width]")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def member_name(config: MemberConfig, path: Path) -> str:
    """How views of this member are called: its `name`, or the checkpoint's run or file name."""
    if config.name:
        return config.name
    generic = path.stem in {"best", "last"} and path.parent.name == "weights"
    return path.parent.parent.name if generic else path.stem
