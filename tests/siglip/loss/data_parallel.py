"""One of several gloo processes of test_batch: micro-batches under DistributedDataParallel against one whole batch.

    data_parallel.py CROPS RUN

First a training of 960 pairs a step on CROPS, see large_batch.py; it opens the process group that the rest uses.
"""

import contextlib
import sys
from pathlib import Path

import torch
from large_batch import relative_error
from test_caching import Towers
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from siglip.loss.caching import Embedded, whole_batch
from siglip.loss.sigmoid import sigmoid_loss

SHARE = 7


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name.removeprefix("module."): p.grad.clone() for name, p in model.named_parameters()}


def expected(pixels: torch.Tensor, captions: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    model = Towers(dtype=torch.float64)
    made = model(pixels, captions)
    sigmoid_loss(made.image, made.text, made.scale, made.bias, captions).backward()
    return gradients(model)


def check(num_parts: int) -> None:
    rank, world = distributed.get_rank(), distributed.get_world_size()
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randn(SHARE * world, 12, dtype=torch.float64, generator=generator)
    captions = torch.randint(0, 9, (SHARE * world,), generator=generator)
    own = torch.arange(SHARE * rank, SHARE * (rank + 1))
    torch.manual_seed(3)
    model = DistributedDataParallel(Towers(dtype=torch.float64))
    parts = own.tensor_split(num_parts)

    def forward(k: int) -> Embedded:
        return model(pixels[parts[k]], captions[parts[k]])

    def loss_of(image, text, scale, bias):
        return sigmoid_loss(image, text, scale, bias, captions[own], everywhere=True)

    def sync(last: bool):
        return contextlib.nullcontext() if last else model.no_sync()

    whole_batch(forward, num_parts, loss_of, torch.Tensor.backward, sync, float(world))  # the reducer takes the mean
    for name, wanted in expected(pixels, captions).items():
        made = gradients(model)[name]
        assert (made - wanted).norm() <= 1e-12 * wanted.norm(), name


def main(crops: str, run: str) -> None:
    errors = relative_error(Path(crops), run)
    assert max(errors) <= 1e-6, errors
    for num_parts in (1, 2, 4):
        check(num_parts)
    print(f"equal, {errors[1]:.1e} at 960", flush=True)
    distributed.destroy_process_group()


main(*sys.argv[1:])
