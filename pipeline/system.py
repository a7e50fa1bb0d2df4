"""The pipeline: from images and captions to answers, asking every model once.

Shapes: N candidates of an image, K distinct crops, M captions, D embedding width.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from core.answering import Answer, Seen, answer, known_captions
from core.cuts import candidates_of
from core.pixels import crop_box
from core.stages import Detector, Image, Scorer, Upscaler, View
from pipeline.settings import PipelineConfig

# Crops are cut, enlarged and embedded so many pixels at a time (about 700 of a target's usual size): however many there
# are, and however large wrong boxes make them, a chunk enlarged four times stays near 100 MB.
CHUNK_PIXELS = 2**21


OnStage = Callable[[str, float, int], None]  # a stage's name, the seconds it took, and of how many things


def _unnoticed(stage: str, seconds: float, count: int) -> None:
    """What a pipeline tells its times to when nobody asks."""


class Pipeline:
    """Detector, upscaler and scorer with their settings; `on_stage` is told of every batch of work and its time."""

    def __init__(
        self,
        config: PipelineConfig,
        detector: Detector,
        upscaler: Upscaler | None,
        scorer: Scorer | None,
        on_stage: OnStage | None = None,
    ) -> None:
        self.config, self.detector, self.upscaler, self.scorer = config, detector, upscaler, scorer
        self.on_stage = on_stage or _unnoticed

    @contextmanager
    def _timed(self, stage: str, count: int) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.on_stage(stage, time.perf_counter() - began, count)

    @property
    def embeddings_key(self) -> str:
        """The store's key for crops' embeddings: upscaler and scorer."""
        upscaler = self.upscaler.key if self.upscaler is not None else "none"
        return f"{upscaler}-{self.scorer.key}" if self.scorer is not None else "none"

    def propose(self, images: Sequence[Image]) -> list[list[View]]:
        """Every view's boxes before NMS, per image."""
        with self._timed("detector", len(images)):
            return self.detector.propose(images)

    def embed_crops(self, crops: Iterable[Image]) -> NDArray[np.float32]:
        """(K) crops -> (K, D): enlarged, then embedded; an iterator of them is never held whole."""
        parts = [self._embed_chunk(chunk) for chunk in _chunks(crops)]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def _embed_chunk(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        assert self.scorer is not None
        if self.upscaler is not None:
            with self._timed("upscaler", len(crops)):
                crops = self.upscaler.upscale(crops)
        with self._timed("scorer", len(crops)):
            return self.scorer.embed_images(crops)

    def embed_texts(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """(M) captions -> (M, D)."""
        assert self.scorer is not None
        with self._timed("texts", len(captions)):
            return self.scorer.embed_texts(captions)

    def locate(self, image: Image, captions: Sequence[str]) -> Answer:
        """The answers to an image's captions, without any store."""
        seen, texts, calibration = Seen(candidates_of(self.propose([image])[0], self.config)), {}, None
        if self.scorer is not None and len(seen.candidates):
            boxes = seen.candidates.boxes_xyxy
            seen = Seen(seen.candidates, self.embed_crops(crop_box(image, box) for box in boxes))
            calibration = self.scorer.calibration
            asked = list(dict.fromkeys([*captions, *known_captions(calibration)]))
            texts = dict(zip(asked, self.embed_texts(asked), strict=True))
        scores = seen.scores(captions, texts, calibration)
        return answer(seen.candidates, scores, len(captions), self.config.choosing)


def _chunks(crops: Iterable[Image]) -> Iterator[list[Image]]:
    chunk: list[Image] = []
    pixels = 0
    for crop in crops:
        area = crop.shape[0] * crop.shape[1]
        if chunk and pixels + area > CHUNK_PIXELS:
            yield chunk
            chunk, pixels = [], 0
        chunk.append(crop)
        pixels += area
    if chunk:
        yield chunk
