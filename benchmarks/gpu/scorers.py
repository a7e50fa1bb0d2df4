"""Steps of the scorer's fine-tuning: `siglip.train`'s own stepper against transformers' and open_clip's.

ours        gradients cached: every pair meets all of the batch, 12 at a time; bfloat16, compiled, FSDP2 on one GPU
plain       transformers' SiglipModel with its own loss, added up over micro-batches of 12 (pairs of a micro-batch meet)
open_clip   train_one_epoch of open_clip_train with accum_freq, its gradient cache

All: AdamW, one process, the same numbers of pairs; the peers run eagerly, as their programs do unless told otherwise,
and their pixels are on the device before their time begins.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.gpu.clock import free, peak_gib, seconds
from benchmarks.gpu.lines import Line
from benchmarks.gpu.sizes import ScorerSizes, Sizes

LR = 2e-5
Step = Callable[[int], object]  # takes one optimizer step on so many pairs


def siglip(sizes: Sizes, device: str, which: str) -> list[Line]:
    """One step of SigLIP at 384 px: a line against each peer."""
    scorer = sizes.siglip[which]
    makers = {"ours": ours, "transformers": plain, "open_clip": open_clip}
    took: dict[str, float] = {}
    held: dict[str, float | None] = {}
    absent: dict[str, str] = {}
    for name, make in makers.items():
        free(device)
        try:
            step = make(scorer, sizes, device)
        except ModuleNotFoundError as error:
            if name == "ours":
                raise
            absent[name] = f"not run: {error.name} absent"
            continue
        step(2 * sizes.micro)  # compilers, buffers and the optimizer's state
        took[name] = seconds(lambda step=step: step(sizes.pairs), device)  # type: ignore[misc]
        held[name] = peak_gib(device)
        del step
    label = f"SigLIP {which}, {sizes.pairs}/{sizes.micro}{', FSDP2' if device != 'cpu' else ''}"
    mine = _told(took["ours"], held["ours"])
    goal = 1.0 if sizes.goals else None
    return [
        Line(label, mine, name, note=absent[name]) if name in absent
        else Line(label, mine, f"{name} {_told(took[name], held[name])}", took[name] / took["ours"], goal)
        for name in ("transformers", "open_clip")
    ]  # fmt: skip


def _told(step_s: float, gib: float | None) -> str:
    return f"{step_s:.2f} s a step" + ("" if gib is None else f", {gib:.1f} GiB")


def captions_of(sizes: Sizes) -> list[str]:
    """As many distinct captions as the published data has."""
    return [f"target number {i // 16} word {i % 16}" for i in range(sizes.captions)]


def make_siglip(scorer: ScorerSizes, captions: list[str], device: str = "cpu") -> tuple[Any, Any]:
    """(SiglipModel of random weights on the device, processor), with as many tokens as were published."""
    import torch

    from siglip.model import make_model

    torch.manual_seed(0)
    with torch.device(device):  # a GPU draws the weights in a moment
        model, processor = make_model({"vision": scorer.vision, "text": scorer.text}, captions)
    model.text_model.resize_token_embeddings(scorer.vocabulary)
    return model, processor


def ours(scorer: ScorerSizes, sizes: Sizes, device: str) -> Step:
    """`siglip.train.steps.Stepper` as `siglip.train` makes it."""
    import torch

    from siglip.model import text_length, tokens
    from siglip.train.launching import make_accelerator
    from siglip.train.schedule import parameter_groups
    from siglip.train.settings import TrainConfig, TrainPrecision
    from siglip.train.steps import Stepper
    from siglip.train.towers import bind_pair_forward

    captions = captions_of(sizes)
    config = TrainConfig(crops="", device="cpu" if device == "cpu" else None, compile=sizes.compile)
    config.batch.size, config.batch.micro = sizes.pairs, sizes.micro
    if device != "cpu":
        config.precision = TrainPrecision.bfloat16
        _alone_in_a_group()
    accelerator = make_accelerator(config)
    model, processor = make_siglip(scorer, captions, device)
    model.to("cpu")  # where a training begins
    length = text_length(model.config)
    bind_pair_forward(model)
    model.float().train()
    groups = parameter_groups(model, config.weight_decay, False, config.layer_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(config.betas[0], config.betas[1]))
    model, optimizer = accelerator.prepare(model, optimizer)
    images = _images(sizes, scorer, processor)
    input_ids = tokens(processor, images.distinct, "{}", length)["input_ids"].to(accelerator.device)
    stepper = Stepper(config, accelerator, model, optimizer, images, processor, input_ids, lambda: None)

    def step(pairs: int) -> float:
        taken, pixels = next(images.batches(0, 0, pairs, 0, 1, 0))
        return stepper.take(taken, pixels, lambda group: LR)

    return step


def _alone_in_a_group() -> None:
    """A process group of this process, and FSDP2 asked for, as `accelerate launch` with one process would set them."""
    os.environ.update({
        "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": os.environ.get("MASTER_PORT", "29531"), "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2",
    })  # fmt: skip


def _images(sizes: Sizes, scorer: ScorerSizes, processor: Any) -> Any:
    """Crops of noise at the tower's size, as the training keeps them."""
    from data.recipe import RecipeConfig
    from siglip.crops import Crops
    from siglip.train.images import Images

    side = scorer.vision["image_size"]
    pixels = np.random.default_rng(0).integers(0, 256, (8, side, side, 3), dtype=np.uint8)
    captions = captions_of(sizes)
    names = [f"crop_{i}" for i in range(sizes.pairs)]
    crops = Crops(names, [captions[i % len(captions)] for i in range(len(names))], names,
                  lambda i: pixels[i % len(pixels)], "none", names)  # fmt: skip
    return Images(crops, RecipeConfig(), 0, processor.image_processor, 4.0)


def _batch(scorer: ScorerSizes, sizes: Sizes, device: str, length: int) -> tuple[Any, Any]:
    """(micro, 3, S, S) pixels and (micro, L) tokens on the device."""
    import torch

    side = scorer.vision["image_size"]
    pixels = torch.randn(sizes.micro, 3, side, side, device=device)
    return pixels, torch.randint(3, scorer.vocabulary, (sizes.micro, length), device=device)


def _autocast(device: str) -> Any:
    import torch

    return torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=device != "cpu")


def plain(scorer: ScorerSizes, sizes: Sizes, device: str) -> Step:
    """transformers' model and loss, gradients added up over micro-batches."""
    import torch

    model = make_siglip(scorer, captions_of(sizes), device)[0].train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    pixels, input_ids = _batch(scorer, sizes, device, scorer.text["max_position_embeddings"])

    def step(pairs: int) -> None:
        parts = pairs // sizes.micro
        optimizer.zero_grad(set_to_none=True)
        for _ in range(parts):
            with _autocast(device):
                loss = model(input_ids=input_ids, pixel_values=pixels, return_loss=True).loss / parts
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


class Repeated:
    """A loader as open_clip_train wants it, of one micro-batch again and again."""

    def __init__(self, batch: tuple[Any, Any], pairs: int) -> None:
        self._batch, self.num_samples, self.num_batches = batch, pairs, pairs // len(batch[0])

    def __iter__(self) -> Any:
        return iter([self._batch] * self.num_batches)


def open_clip(scorer: ScorerSizes, sizes: Sizes, device: str) -> Step:
    """open_clip's own train_one_epoch over an epoch of one step."""
    import open_clip as library
    import torch
    from open_clip.loss import SigLipLoss
    from open_clip_train.train import train_one_epoch

    with tempfile.TemporaryDirectory() as scratch:
        if scorer.open_clip_config is not None:
            path = Path(scratch) / f"{scorer.open_clip}.json"
            path.write_text(json.dumps(scorer.open_clip_config))
            library.add_model_config(path)
        model = library.create_model(scorer.open_clip, device=device, output_dict=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    batch = _batch(scorer, sizes, device, scorer.text["max_position_embeddings"])
    args = SimpleNamespace(
        device=device, precision="fp32" if device == "cpu" else "amp_bf16", accum_freq=1, distill=False,
        skip_scheduler=True, horovod=False, grad_clip_norm=1.0, rank=0, local_rank=0, world_size=1, wandb=False,
        batch_size=sizes.micro, log_every_n_steps=1, log_local=False,
    )  # fmt: skip

    def step(pairs: int) -> None:
        args.accum_freq = pairs // sizes.micro
        data = {"train": SimpleNamespace(dataloader=Repeated(batch, pairs), set_epoch=lambda epoch: None)}
        train_one_epoch(model, data, SigLipLoss(), 0, optimizer, None, None, None, args)

    return step
