"""What the loss needs of other processes: rows of uneven number, gathered with their gradients; sums; places.

Without a process group everything is this process's own.
"""

from typing import Any

import torch
from torch import Tensor, distributed


def num_processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """This process's number among them."""
    return distributed.get_rank() if num_processes() > 1 else 0


def sum_over(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes, a new tensor; gradients do not pass."""
    total = value.detach().clone()
    if num_processes() > 1:
        distributed.all_reduce(total)
    return total


def _sizes(rows: Tensor) -> list[int]:
    sizes = torch.zeros(num_processes(), dtype=torch.int64, device=rows.device)
    sizes[rank()] = len(rows)
    return [int(n) for n in sum_over(sizes).tolist()]


def place_of(rows: Tensor) -> int:
    """Where this process's first row stands among the gathered rows."""
    return sum(_sizes(rows)[: rank()])


def gather_rows(rows: Tensor) -> Tensor:
    """The rows (B, ...) of every process one after the other, (N, ...); B may differ.

    The gradient of a process's rows is the sum of what all processes send back.
    """
    if num_processes() == 1:
        return rows
    gathered: Tensor = _GatherRows.apply(rows)
    return gathered


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        sizes = _sizes(rows)
        ctx.span = slice(sum(sizes[: rank()]), sum(sizes[: rank() + 1]))
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return sum_over(grad.contiguous())[ctx.span]
