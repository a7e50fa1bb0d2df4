"""A one-stage model over slices and a store: what it said is kept caption by caption, and pooled it is a detector."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from core.errors import InputError
from core.files import sha256_bytes
from core.grounded import Said, has_said, read_said, write_said
from core.stages import Image, OneStage, View
from core.store import CandidateStore, image_digest
from core.values import Candidates, Grounded
from detector.inference.slicing import Window, check_slices, slice_windows
from onestage.build import build_onestage, family_of
from onestage.settings import OneStageFamily
from pipeline.settings import OneStageStage, PipelineConfig
from pipeline.system import OnStage

WHOLE = "onestage/plain"  # the view of the whole image


class Grounding:
    """Asks a one-stage model what the store lacks.

    As a detector (`propose`) it offers the boxes of all the captions that an image was asked for, pooled.
    """

    def __init__(
        self, model: OneStage, config: OneStageStage, store: CandidateStore, asked: str, on_stage: OnStage
    ) -> None:
        """asked: digest of all images' captions, for pooled boxes hang on them."""
        check_slices(config.slices)
        self._model, self._slices, self._store, self._on_stage = model, config.slices, store, on_stage
        slices = {k: str(v) for k, v in asdict(config.slices).items()}
        self.said_key = sha256_bytes(repr([model.key, slices]).encode())[:16]
        self.key = sha256_bytes(repr([self.said_key, asked]).encode())[:16]
        self._captions: dict[str, list[str]] = {}  # of each image by its digest

    def fill(self, images: Sequence[Image], digests: Sequence[str], captions: Sequence[Sequence[str]]) -> None:
        """Put what the store lacks into it, each answer as soon as it is known."""
        lacking = []
        for digest, asked in zip(digests, captions, strict=True):
            known = self._captions.setdefault(digest, [])
            known += [c for c in dict.fromkeys(asked) if c not in known]
            fresh = [c for c in dict.fromkeys(asked) if not has_said(self._store, self.said_key, digest, c)]
            lacking.append(fresh)
        if not any(lacking):
            return
        began = time.perf_counter()
        for number, caption, said in self._ask(images, lacking):
            write_said(self._store, self.said_key, digests[number], caption, said)
        self._on_stage("onestage", time.perf_counter() - began, sum(bool(asked) for asked in lacking))

    def _ask(self, images: Sequence[Image], captions: Sequence[Sequence[str]]) -> Iterator[tuple[int, str, Said]]:
        """(image, caption, answer) as soon as all the image's windows have answered the caption."""
        looks = [(n, w) for n, image in enumerate(images) if captions[n] for w in self._windows(image)]
        crops = [images[n][w[1] : w[3], w[0] : w[2]] for n, w in looks]
        found: dict[tuple[int, int], dict[int, Grounded]] = {}
        for look, place, grounded in self._model.ground(
            [np.ascontiguousarray(crop) for crop in crops], [captions[n] for n, _ in looks]
        ):
            number, window = looks[look]
            answers = found.setdefault((number, place), {})
            answers[look] = _moved(grounded, window)
            mine = [i for i, (n, _) in enumerate(looks) if n == number]
            if len(answers) == len(mine):
                names = [(_name(looks[i][1], images[number]), answers[i]) for i in mine]
                yield number, captions[number][place], Said.of(names)
                del found[number, place]

    def _windows(self, image: Image) -> list[Window]:
        height, width = image.shape[:2]
        whole: list[Window] = [(0, 0, width, height)] if self._slices.full else []
        sliced = [w for w in slice_windows(self._slices, width, height) if w not in whole]
        return whole + sliced or [(0, 0, width, height)]

    def said(self, digest: str, caption: str) -> Said:
        """What the model said to a caption; InputError when it was never asked."""
        return read_said(self._store, self.said_key, digest, caption)

    def propose(self, images: Sequence[Image]) -> list[list[View]]:
        """Per image a view for the whole and for each slice, with the boxes of all its captions."""
        return [self._pooled(image_digest(image)) for image in images]

    def _pooled(self, digest: str) -> list[View]:
        pools: dict[str, list[Candidates]] = {}
        for caption in self._captions.get(digest, []):
            for view in self.said(digest, caption).views:
                pools.setdefault(view.name, []).append(view.candidates)
        return [View(name, _joined(sets)) for name, sets in pools.items()] or [View(WHOLE, Candidates.empty())]


def _name(window: Window, image: Image) -> str:
    height, width = image.shape[:2]
    return WHOLE if window == (0, 0, width, height) else "onestage/slice_" + "_".join(map(str, window))


def _moved(grounded: Grounded, window: Window) -> Grounded:
    """The answer in the pixels of the image that the window was cut from."""
    offset = np.asarray([window[0], window[1], window[0], window[1]], np.float32)
    boxes = grounded.candidates.boxes_xyxy + offset
    return replace(grounded, candidates=Candidates(boxes, grounded.candidates.confidence))


def _joined(sets: Sequence[Candidates]) -> Candidates:
    return Candidates(
        np.concatenate([c.boxes_xyxy for c in sets]), np.concatenate([c.confidence for c in sets])
    )  # fmt: skip


def asked_digest(captions: Mapping[str, Sequence[str]]) -> str:
    """What names the captions asked of each image."""
    return sha256_bytes(repr(sorted((name, sorted(set(asked))) for name, asked in captions.items())).encode())


def build_grounding(
    config: PipelineConfig, store: CandidateStore, captions: Mapping[str, Sequence[str]], on_stage: OnStage
) -> Grounding | None:
    """The one-stage model of the settings, None where they name none.

    captions: those of every image. Raises InputError as `build_onestage` does, and for a detector beside it.
    """
    if config.onestage is None or not config.onestage.weights:
        return None
    if config.detector is not None and (config.detector.weights or config.detector.members):
        raise InputError("onestage: stands in the detector's place; give one of the two")
    return Grounding(_model(config.onestage, config.device), config.onestage, store, asked_digest(captions), on_stage)


def _model(config: OneStageStage, device: str) -> OneStage:
    if config.weights and family_of(config) is OneStageFamily.yolo:
        from pipeline.vocabulary import build_vocabulary  # imports Ultralytics, which need not be installed

        return build_vocabulary(config, device)
    return build_onestage(config, device)
