"""One optimizer step of the training: images and captions of this process in, gradients, checks, update.

Shapes: B pairs of this process, T distinct captions of them, D embedding width, S side of the image tower.
"""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from core.errors import InputError
from core.stages import Image
from siglip.loss.caching import Embedded, LossOf, MicroBatch, part_by_part, split_batch, whole_batch
from siglip.loss.gathering import num_processes, sum_over
from siglip.loss.sigmoid import sigmoid_loss
from siglip.loss.vocabulary import vocabulary_loss, word_loss, word_table
from siglip.objective import Form
from siglip.pixels import normalise
from siglip.train.images import Images, Step
from siglip.train.settings import Negatives, TrainConfig


class NotFiniteError(InputError):
    """A loss or gradient that is not finite, seen by every process at the same step, before its update."""


class Stepper:
    """Takes the steps; `figures` holds what the last one can tell."""

    def __init__(
        self, config: TrainConfig, accelerator: Accelerator, model: Any, optimizer: Any, images: Images,
        processor: Any, input_ids_ML: Tensor, between: Callable[[], None],
    ) -> None:  # fmt: skip
        """input_ids_ML: the tokens of every caption; between: called between micro-batches, may raise to end a step."""
        self._config, self._accelerator, self._model, self._optimizer = config, accelerator, model, optimizer
        self._images, self._processor, self._input_ids_ML, self._between = images, processor, input_ids_ML, between
        side = images.plain(0).shape
        self._stand_in = np.zeros(side, np.uint8)
        self._words_VW = torch.from_numpy(word_table(images.distinct)[1]).to(accelerator.device)
        self.figures: dict[str, float] = {}

    def take(self, step: Step, images: list[Image], rates: Callable[[dict[str, Any]], float]) -> float:
        """One step; `rates` gives a parameter group's learning rate. Returns the loss, the same on every process.

        Raises NotFiniteError before the update when the loss or the gradient is not finite.
        """
        self._optimizer.zero_grad(set_to_none=True)
        ids_B = self._images.ids[step.share]
        loss = self._gradients(ids_B, images, step.largest_share).item()
        self._require_finite("loss", loss, step)
        norm = self._clip()
        self._require_finite("gradient norm", norm, step)
        for group in self._optimizer.param_groups:
            group["lr"] = rates(group)
        self._optimizer.step()
        self._clamp_scale()
        self.figures = {"loss": loss, "grad_norm": norm, **self._scalars}
        return loss

    def _gradients(self, ids_B: NDArray[np.intp], images: list[Image], largest_share: int) -> Tensor:
        negatives = self._config.loss.negatives
        micro = self._config.batch.micro or largest_share
        num_parts = max(1, -(-largest_share // micro))  # the same on every process, whatever its own share
        vocabulary = len(self._input_ids_ML) if self._config.loss.form is Form.vocabulary else None
        parts = split_batch(ids_B, num_parts, negatives is Negatives.micro, vocabulary)

        def forward(k: int) -> Embedded:
            self._between()
            return self._embed(parts[k], images)

        if negatives is Negatives.micro:
            losses = [self._loss_of(ids_B[part.crops], everywhere=False) for part in parts]
            loss = part_by_part(forward, num_parts, losses, self._accelerator.backward, self._sync)
            return sum_over(loss) / num_processes()
        everywhere = negatives is Negatives.batch and num_processes() > 1
        # Processes average their gradients. Of a loss over all processes each holds a share, and the shares add up.
        factor = float(num_processes()) if everywhere else 1.0
        whole = self._loss_of(ids_B, everywhere)
        loss = whole_batch(forward, num_parts, whole, self._accelerator.backward, self._sync, factor)
        return loss if everywhere else sum_over(loss) / num_processes()

    def _embed(self, part: MicroBatch, images: list[Image]) -> Embedded:
        chosen = images[part.crops]
        pixels = normalise(chosen or [self._stand_in], self._processor.image_processor)
        captions = torch.from_numpy(part.captions).to(self._input_ids_ML.device)
        image, text, scale, bias, words = self._model(
            input_ids=self._input_ids_ML[captions], pixel_values=pixels.to(self._accelerator.device)
        )
        words = None if words is None else words[: len(chosen)]
        return Embedded(image[: len(chosen)], text[: part.num_texts], scale, bias, words)

    def _loss_of(self, ids_b: NDArray[np.intp], everywhere: bool) -> LossOf:
        distinct, rows = np.unique(ids_b, return_inverse=True)
        device = self._accelerator.device
        rows_b, captions_b = torch.from_numpy(rows).to(device), torch.from_numpy(ids_b).to(device)

        settings = self._config.loss

        def loss_of(*parts: Tensor) -> Tensor:
            image_bD, text_TD, scale, bias = parts[:4]
            self._scalars = {"scale": scale.item(), "bias": bias.item()}
            if not everywhere and not len(ids_b):  # a process without a pair: nothing to learn, but all take part
                return sum((p.sum() for p in parts), torch.zeros((), device=device)) * 0
            if settings.form is Form.vocabulary:
                loss = vocabulary_loss(image_bD, text_TD, scale, bias, captions_b, settings.none, everywhere)
            else:
                assert len(text_TD) == len(distinct)
                same = settings.same_caption.value
                loss = sigmoid_loss(image_bD, text_TD[rows_b], scale, bias, captions_b, same, everywhere)
            if settings.words:
                loss = loss + settings.words * word_loss(parts[4], self._words_VW[captions_b], everywhere)
            return loss

        return loss_of

    def _sync(self, last: bool) -> AbstractContextManager[Any]:
        nothing: AbstractContextManager[Any] = contextlib.nullcontext()
        return nothing if last else self._accelerator.no_sync(self._model)

    def _clip(self) -> float:
        limit = self._config.clip_norm or float("inf")
        norm: Any = self._accelerator.clip_grad_norm_(self._model.parameters(), limit)
        if hasattr(norm, "full_tensor"):
            norm = norm.full_tensor()
        return float(norm)

    def _clamp_scale(self) -> None:
        if self._config.scale_max is None:
            return
        for name, parameter in self._model.named_parameters():
            if name.rpartition(".")[2] == "logit_scale":
                local = parameter.to_local() if hasattr(parameter, "to_local") else parameter
                with torch.no_grad():
                    local.clamp_(max=float(np.log(self._config.scale_max)))

    def _require_finite(self, what: str, value: float, step: Step) -> None:
        if np.isfinite(value):
            return
        names = [self._images.crops.names[i] for i in step.crops]
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise NotFiniteError(
            f"the {what} is {value} before the update; the batch: {shown}; the weights before it are kept"
        )
