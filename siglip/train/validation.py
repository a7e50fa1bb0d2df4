"""Validation inside a training: the scorer as it stands, over all processes, and the decision to stop.

Shapes: N crops, M captions, D embedding width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.choosing import score_matrix
from core.stages import Image
from siglip.crops import Crops
from siglip.detected import DetectedCrops, detected_metrics
from siglip.loss.gathering import gather_rows, num_processes, rank
from siglip.model import tokens
from siglip.pixels import crop_pixels
from siglip.ranking import Opened, ranking_metrics

TEXTS_AT_ONCE = 64


class LiveScorer:
    """The model in training as `core.stages.Scorer`; each process embeds a part of the crops, all call it together."""

    key = "in training"
    policy = None  # its own crops are being trained on

    def __init__(self, model: Any, processor: Any, template: str, text_length: int, device: Any, batch: int) -> None:
        self._model, self._processor, self._template, self._device = model, processor, template, device
        self._text_length, self._batch = text_length, batch
        self.calibration: dict[str, Any] = {}
        self.between: Callable[[], None] = lambda: None  # called between batches; may raise to end the validation

    @torch.no_grad()
    def embed_images(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """(N) crops -> (N, D) unit vectors; `crops` is asked for this process's part only."""
        share = -(-len(crops) // num_processes())
        places = [min(i, len(crops) - 1) for i in range(rank() * share, (rank() + 1) * share)]  # the same number each
        parts = []
        for start in range(0, share, self._batch):
            self.between()
            pixels = crop_pixels(
                [crops[i] for i in places[start : start + self._batch]], self._processor.image_processor
            )
            parts.append(self._model(pixel_values=pixels.to(self._device))[0].float())
        return np.asarray(gather_rows(torch.cat(parts))[: len(crops)].cpu().numpy())

    @torch.no_grad()
    def embed_texts(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """(M) captions -> (M, D) unit vectors."""
        parts = []
        for start in range(0, len(captions), TEXTS_AT_ONCE):
            self.between()
            chosen = captions[start : start + TEXTS_AT_ONCE]
            ids = tokens(self._processor, chosen, self._template, self._text_length)["input_ids"].to(self._device)
            _, text, scale, bias, _ = self._model(input_ids=ids)
            parts.append(text.float())
        self.calibration = {"scale": scale.item(), "bias": bias.item(), "sigmoid": True}
        return np.asarray(torch.cat(parts).cpu().numpy())

    def scores(self, image_emb_ND: NDArray[np.float32], text_emb_MD: NDArray[np.float32]) -> NDArray[np.floating]:
        """(N, M) sigmoid probabilities."""
        return score_matrix(self.calibration, image_emb_ND, text_emb_MD)


def validate(
    scorer: LiveScorer, crops: Crops | None, detected: DetectedCrops | None, model: torch.nn.Module
) -> dict[str, float]:
    """Ranking among an image's true crops, retrieval, and ranking among its detected crops, of the model as it is."""
    training = model.training
    model.eval()
    try:
        metrics = {} if crops is None else ranking_metrics(
            scorer, Opened(len(crops), crops.open), crops.captions, crops.images, crops.targets
        )  # fmt: skip
        return metrics if detected is None else metrics | detected_metrics(scorer, detected)
    finally:
        model.train(training)


@dataclass
class Best:
    """The best validation so far."""

    value: float | None = None
    epoch: int = 0
    metrics: dict[str, float] = field(default_factory=dict)

    def beaten_by(self, metrics: dict[str, float], name: str, epoch: int) -> bool:
        """Whether the metrics of an epoch (from 1) are better; they are kept if so."""
        if self.value is not None and metrics[name] <= self.value:
            return False
        self.value, self.epoch, self.metrics = float(metrics[name]), epoch, dict(metrics)
        return True
