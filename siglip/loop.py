"""The training loop of the scorer.

Shapes: B pairs of the batch, T distinct captions of it, D embedding width.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from core.errors import InputError
from core.images import read_image
from core.progress import progress
from core.runs import RunFolder
from core.tracking import start_tracker
from data.augment import build_recipe
from data.cropset import CropSet, read_crop_set
from siglip.loss import sigmoid_loss
from siglip.model import load_parts, make_model, save_checkpoint, tokens
from siglip.pixels import normalise, resize
from siglip.scorer import TEMPLATE
from siglip.train import TrainConfig


class Pairs:
    """The crops and captions of a set, decoded and resized once, in batches of one epoch's order."""

    def __init__(self, crop_set: CropSet, config: TrainConfig, image_processor: Any) -> None:
        self._config = config
        self.captions = [crop.caption for crop in crop_set.crops]
        self.distinct = sorted(set(self.captions))
        place = {caption: i for i, caption in enumerate(self.distinct)}
        self.ids = np.asarray([place[c] for c in self.captions])
        self._images = [
            resize([read_image(crop_set.path(crop))], image_processor)[0]
            for crop in progress(crop_set.crops, "reading crops")
        ]

    def __len__(self) -> int:
        return len(self.captions)

    def batches(self, epoch: int) -> Iterator[tuple[list[NDArray[np.uint8]], NDArray[np.intp]]]:
        """Augmented crops and their captions' ids; the order and the augmentation depend on (seed, epoch) alone."""
        seed = self._config.seed * 1_000_003 + epoch
        order = np.random.default_rng(seed).permutation(len(self))
        recipe = build_recipe(self._config.recipe, seed=seed)
        for start in range(0, len(order), self._config.batch.size):
            chosen = order[start : start + self._config.batch.size]
            yield [recipe(image=self._images[i])["image"] for i in chosen], self.ids[chosen]


def train(config: TrainConfig, folder: RunFolder) -> dict[str, Any]:
    """Train from a checkpoint, or from scratch when the scorer has an architecture; returns the last figures."""
    torch.manual_seed(config.seed)
    accelerator = Accelerator()
    crop_set = read_crop_set(config.crops)
    model, processor = _start(config, sorted({crop.caption for crop in crop_set.crops}))
    pairs = Pairs(crop_set, config, processor.image_processor)
    template = config.scorer.template or TEMPLATE
    optimizer = torch.optim.AdamW(_groups(model, config.weight_decay), lr=config.lr, betas=tuple(config.betas))
    steps = config.epochs * -(-len(pairs) // config.batch.size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _cosine(steps, config.warmup))
    model, optimizer = accelerator.prepare(model, optimizer)
    tracker = start_tracker(config.tracking, folder, "siglip.train")
    input_ids = tokens(processor, pairs.distinct, template)["input_ids"].to(accelerator.device)
    started, step, figures = time.monotonic(), 0, {}
    for epoch in range(config.epochs):
        losses = []
        for crops, ids in pairs.batches(epoch):
            losses.append(_step(model, optimizer, accelerator, crops, ids, input_ids, processor, config, step))
            schedule.step()
            step += 1
        seconds = time.monotonic() - started
        figures = {
            "loss": float(np.mean(losses)),
            "lr": schedule.get_last_lr()[0],
            "scale": accelerator.unwrap_model(model).logit_scale.exp().item(),
            "bias": accelerator.unwrap_model(model).logit_bias.item(),
            "samples_per_s": (epoch + 1) * len(pairs) / seconds,
        }
        tracker.log(figures, step=step)
        if accelerator.is_main_process:
            print(
                f"epoch {epoch + 1}/{config.epochs}: " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items()),
                flush=True,
            )
    settings = {"template": template, "policy": policy_of(crop_set), "captions": pairs.distinct}
    if accelerator.is_main_process:
        save_checkpoint(folder.path / "last", accelerator.unwrap_model(model), processor, settings)
    tracker.finish()
    return {**figures, "num_steps": step, "num_pairs": len(pairs)}


def policy_of(crop_set: CropSet) -> str:
    """How a set's crops were enlarged: the upscaler's policy, or `none`."""
    record = crop_set.record
    return str(record.get("policy") or record.get("upscaler") or "none")


def _start(config: TrainConfig, captions: list[str]) -> tuple[Any, Any]:
    if config.scorer.weights:
        model, processor, _ = load_parts(config.scorer.weights)
        return model, processor
    if not config.scorer.architecture:
        raise InputError("scorer: neither weights nor an architecture is given")
    return make_model(config.scorer.architecture, captions)


def _groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _cosine(steps: int, warmup: float) -> Any:
    rising = max(1, round(steps * warmup))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + float(np.cos(np.pi * (step - rising) / max(1, steps - rising))))

    return factor


def _step(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    crops: list[NDArray[np.uint8]],
    ids: NDArray[np.intp],
    input_ids: torch.Tensor,
    processor: Any,
    config: TrainConfig,
    step: int,
) -> float:
    pixels = normalise(crops, processor.image_processor).to(accelerator.device)
    image_captions = torch.from_numpy(ids).to(accelerator.device)
    distinct, rows = torch.unique(image_captions, return_inverse=True)  # each caption goes through the tower once
    output = model(input_ids=input_ids[distinct], pixel_values=pixels)
    bare = accelerator.unwrap_model(model)
    loss = sigmoid_loss(
        output.image_embeds, output.text_embeds[rows], bare.logit_scale.exp(), bare.logit_bias, image_captions,
        config.loss.same_caption.value,
    )  # fmt: skip
    if not torch.isfinite(loss):
        raise InputError(f"siglip.train: the loss is {loss.item()} at step {step}; the weights before it are kept")
    accelerator.backward(loss)
    accelerator.clip_grad_norm_(model.parameters(), config.clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()
