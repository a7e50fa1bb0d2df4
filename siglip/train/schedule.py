"""The learning rate of every weight at every step."""

import math
from typing import Any

from torch import nn

from siglip.train.towers import layer_of


def rate_factor(step: int, steps: int, warmup: float) -> float:
    """What the peak learning rate is multiplied by at `step` of `steps`: a linear rise, then a cosine to zero."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def parameter_groups(
    model: nn.Module, weight_decay: float, text_only: bool, layer_decay: float
) -> list[dict[str, Any]]:
    """AdamW's groups of the weights that train: matrices decay (of the text tower only, if so), vectors never.

    layer_decay: each encoder layer learns at this factor of the layer above it; embeddings lie below the first
    layer, heads, scale and bias above the last. A group's `share` is what its learning rate is multiplied by.
    """
    depth = {tower: _depth(model, tower) for tower in ("vision_model", "text_model")}
    groups: dict[tuple[bool, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = parameter.ndim >= 2 and (not text_only or name.startswith("text_model."))
        share = layer_decay ** _below_top(name, depth)
        group = groups.setdefault(
            (decays, share), {"params": [], "weight_decay": weight_decay if decays else 0.0, "share": share}
        )
        group["params"].append(parameter)
    return list(groups.values())


def _depth(model: nn.Module, tower: str) -> int:
    layers = [layer for layer in map(layer_of, (n for n, _ in model.named_parameters())) if layer]
    return 1 + max((number for of, number in layers if of == tower), default=-1)


def _below_top(name: str, depth: dict[str, int]) -> int:
    """How many layers lie above this weight in its tower, the head counted as one."""
    layer = layer_of(name)
    if layer:
        return depth[layer[0]] - layer[1]
    tower = name.partition(".")[0]
    return depth.get(tower, 0) + 1 if ".embeddings." in name else 0
