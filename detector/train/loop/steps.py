"""The optimizer, its rates as functions of the step alone, and the averaged weights."""

import math
from typing import Any

import torch
from torch import nn

from detector.train.loop.settings import LoopSettings


def make_optimizer(model: nn.Module, settings: LoopSettings) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum or AdamW over three groups: `bias`, `norm` (vectors and scalars) and `weight`."""
    groups: dict[str, list[nn.Parameter]] = {"bias": [], "norm": [], "weight": []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups["bias" if name.endswith("bias") else "norm" if parameter.ndim < 2 else "weight"].append(parameter)
    accumulated = settings.batch * accumulation(settings)
    decay = settings.weight_decay * accumulated / settings.nbs
    given: list[dict[str, Any]] = [
        {"params": parameters, "name": name, "weight_decay": decay if name == "weight" else 0.0}
        for name, parameters in groups.items()
    ]
    if settings.optimizer == "AdamW":
        return torch.optim.AdamW(given, lr=settings.lr0, betas=(settings.momentum, 0.999))
    return torch.optim.SGD(given, lr=settings.lr0, momentum=settings.momentum, nesterov=True)


def accumulation(settings: LoopSettings) -> int:
    """Batches a step."""
    return max(1, round(settings.nbs / settings.batch))


def set_rates(
    optimizer: torch.optim.Optimizer, settings: LoopSettings, batch: int, batches_an_epoch: int, num_epochs: int
) -> None:
    """Set learning rates and momentum for the `batch`-th batch of the stage, 0-based.

    The rate falls from lr0 to lr0 * lrf, epoch by epoch; in the warm-up it rises to that. With SGD the biases' falls to
    it: AdamW's steps are as long as the rate, whatever the gradient, so there it would throw them far off.
    """
    epoch = batch // batches_an_epoch
    share = min(1.0, epoch / num_epochs)
    fall = (1 - math.cos(math.pi * share)) / 2 if settings.cos_lr else share
    rate, momentum = settings.lr0 * (1 + fall * (settings.lrf - 1)), settings.momentum
    warmup = round(settings.warmup_epochs * batches_an_epoch)
    done = min(1.0, batch / warmup) if warmup else 1.0
    momentum = settings.warmup_momentum + done * (momentum - settings.warmup_momentum)
    for group in optimizer.param_groups:
        falls = group["name"] == "bias" and settings.optimizer == "SGD"
        start = settings.warmup_bias_lr if falls else 0.0
        group["lr"] = start + done * (rate - start)
        if "betas" in group:
            group["betas"] = (momentum, group["betas"][1])
        else:
            group["momentum"] = momentum


class Average:
    """The exponential average of a model's weights and running statistics; young averages follow faster."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.values = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self.updates = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take one step's weights in."""
        self.updates += 1
        decay = self._decay * (1 - math.exp(-self.updates / 2000))
        for name, tensor in model.state_dict().items():
            if tensor.dtype.is_floating_point:
                self.values[name].lerp_(tensor, 1 - decay)
            else:
                self.values[name].copy_(tensor)
