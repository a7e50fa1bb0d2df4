"""The pipeline: from images and captions to answers, asking every model once.

Shapes: N candidates of an image, K distinct crops, M captions, D embedding width.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.answering import answer
from core.boxes import xyxy_to_ltwh
from core.choosing import NOBODY
from core.cuts import candidates_of
from core.pixels import crop_box, pixel_box
from core.stages import Detector, Image, Scorer, Upscaler, View
from core.values import Candidates, Prediction
from pipeline.settings import PipelineConfig

# Crops are cut, enlarged and embedded so many pixels at a time (about 700 of a target's usual size): however many there
# are, and however large wrong boxes make them, a chunk enlarged four times stays near 100 MB.
CHUNK_PIXELS = 2**21


@dataclass
class Clock:
    """Seconds each stage took, one entry a batch of work, with the number of things in it."""

    spent: dict[str, list[tuple[float, int]]] = field(default_factory=dict)

    @contextmanager
    def measure(self, stage: str, count: int) -> Iterator[None]:
        """Note the time of the block under the stage's name."""
        started = time.perf_counter()
        yield
        self.spent.setdefault(stage, []).append((time.perf_counter() - started, count))


@dataclass(frozen=True)
class Answer:
    """What one image's captions got: the candidates, their scores, and each caption's choice."""

    candidates: Candidates
    scores_NM: NDArray[np.floating] | None
    chosen_M: NDArray[np.intp]

    def predictions(self, image: str, captions: Sequence[str]) -> list[Prediction]:
        """The answers as predictions, in the captions' order."""
        boxes = xyxy_to_ltwh(self.candidates.boxes_xyxy.astype(np.float64))
        found = []
        for place, caption in enumerate(captions):
            n = int(self.chosen_M[place])
            if n == NOBODY:
                found.append(Prediction(image, caption, None))
                continue
            score = None if self.scores_NM is None else float(self.scores_NM[n, place])
            left, top, width, height = boxes[n].tolist()
            confidence = float(self.candidates.confidence[n])
            found.append(Prediction(image, caption, (left, top, width, height), score, confidence))
        return found


class Pipeline:
    """Detector, upscaler and scorer with their settings."""

    def __init__(
        self, config: PipelineConfig, detector: Detector, upscaler: Upscaler | None, scorer: Scorer | None
    ) -> None:
        self.config, self.detector, self.upscaler, self.scorer = config, detector, upscaler, scorer
        self.clock = Clock()

    @property
    def embeddings_key(self) -> str:
        """The store's key for crops' embeddings: upscaler and scorer."""
        upscaler = self.upscaler.key if self.upscaler is not None else "none"
        return f"{upscaler}-{self.scorer.key}" if self.scorer is not None else "none"

    def propose(self, images: Sequence[Image]) -> list[list[View]]:
        """Every view's boxes before NMS, per image."""
        with self.clock.measure("detector", len(images)):
            return self.detector.propose(images)

    def embed_crops(self, crops: Iterable[Image]) -> NDArray[np.float32]:
        """(K) crops -> (K, D): enlarged, then embedded; an iterator of them is never held whole."""
        parts = [self._embed_chunk(chunk) for chunk in _chunks(crops)]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def _embed_chunk(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        assert self.scorer is not None
        if self.upscaler is not None:
            with self.clock.measure("upscaler", len(crops)):
                crops = self.upscaler.upscale(crops)
        with self.clock.measure("scorer", len(crops)):
            return self.scorer.embed_images(crops)

    def embed_texts(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """(M) captions -> (M, D)."""
        assert self.scorer is not None
        with self.clock.measure("texts", len(captions)):
            return self.scorer.embed_texts(captions)

    def locate(self, image: Image, captions: Sequence[str]) -> Answer:
        """The answers to an image's captions, without any store."""
        candidates = candidates_of(self.propose([image])[0], self.config)
        embeddings, texts, calibration = None, {}, None
        if self.scorer is not None and len(candidates):
            embeddings = self.embed_crops(crop_box(image, box) for box in candidates.boxes_xyxy)
            texts = dict(zip(captions, self.embed_texts(captions), strict=True))
            calibration = self.scorer.calibration
        return Answer(candidates, *answer(candidates, embeddings, captions, texts, calibration, self.config.choosing))


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


def pixel_boxes(candidates: Candidates, width: int, height: int) -> NDArray[np.int32]:
    """(N, 4) the whole pixels each candidate's crop is cut from; equal ones share an embedding."""
    boxes = [pixel_box(box, width, height) for box in candidates.boxes_xyxy]
    return np.asarray(boxes, np.int32).reshape(-1, 4)
