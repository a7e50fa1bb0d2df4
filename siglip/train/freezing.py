"""Which weights train: towers and layers held still, or low-rank additions (LoRA) beside still weights."""

from typing import Any

from torch import nn

from core.errors import InputError
from siglip.train.towers import layer_of

_LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def freeze(model: nn.Module, image: bool, text: bool, layers: int) -> None:
    """Hold the image tower, the text tower, or embeddings and the first `layers` of both still."""
    deepest = -1
    for name, parameter in model.named_parameters():
        layer = layer_of(name)
        deepest = max(deepest, layer[1] if layer else -1)
        low = layers > 0 and (".embeddings." in name or (layer is not None and layer[1] < layers))
        still = (image and name.startswith("vision_model.")) or (text and name.startswith("text_model.")) or low
        parameter.requires_grad_(not still)
    if layers > deepest + 1:
        raise InputError(f"freeze.layers: {layers}, but the towers have at most {deepest + 1} layers")


def add_lora(model: nn.Module, rank: int, alpha: float, dropout: float) -> nn.Module:
    """Put LoRA (Hu et al. 2021, arXiv:2106.09685) beside every linear layer that `freeze` left free.

    Of the model's own weights only the loss's scale and bias train on. The model is changed in place.
    """
    from peft import LoraConfig, inject_adapter_in_model

    names = [
        name for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in _LORA_TARGETS
        and ".encoder." in name and module.weight.requires_grad
    ]  # fmt: skip
    if not names:
        raise InputError("lora.rank: no linear layer is left free to train beside")
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names)  # type: ignore[arg-type]
    inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".lora_" in name or name in {"logit_scale", "logit_bias"})
    return model


def merge_lora(model: nn.Module) -> None:
    """Add what LoRA learnt to the weights it stands beside, and take it away: a plain model is left."""
    from peft.tuners.lora import LoraLayer

    for name, module in [(n, m) for n, m in model.named_modules() if isinstance(m, LoraLayer)]:
        module.merge()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module.get_base_layer())


def count_weights(model: nn.Module) -> dict[str, Any]:
    """How many weights there are and how many train."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return {"num_weights": sum(n for n, _ in sizes), "num_trained_weights": sum(n for n, free in sizes if free)}
