"""A SigLIP model whose one `forward` returns all that training needs.

DDP and FSDP2 do their work in the hooks around `forward`: whatever is read outside it (a tower called by itself, the
scale) misses its gathered weights.
"""

import re
import types
from typing import Any

from torch import Tensor, nn

from core.errors import InputError
from siglip.model import unit
from siglip.small import MODEL_TYPE

_LAYER = re.compile(r"(vision_model|text_model)\.(?:.*\.)?layers\.(\d+)\.")


def bind_pair_forward(model: Any) -> nn.Module:
    """Make `model(input_ids, pixel_values)` return (B, D) images, (T, D) texts, scale, bias and (B, W) words.

    Either input may lack, and the words do unless `add_word_head` was called.
    The names of its weights stay as they are. Raises InputError for a family that is not trained here.
    """
    if model.config.model_type not in ("siglip", MODEL_TYPE):
        raise InputError(
            f"scorer: a checkpoint of type {model.config.model_type!r}; training takes SigLIP, fixed-size SigLIP 2 and "
            "the small scorer"
        )
    model.forward = types.MethodType(_pair_forward, model)
    bound: nn.Module = model
    return bound


def _pair_forward(
    self: Any, input_ids: Tensor | None = None, pixel_values: Tensor | None = None
) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor, Tensor | None]:
    image = words = None
    if pixel_values is not None:
        pooled = self.vision_model(pixel_values=pixel_values).pooler_output
        image, words = unit(pooled), self.word_head(pooled) if hasattr(self, "word_head") else None
    text = None if input_ids is None else unit(self.text_model(input_ids=input_ids).pooler_output)
    return image, text, self.logit_scale.exp(), self.logit_bias.clone(), words


def add_word_head(model: Any, num_words: int) -> None:
    """Give a bound model the layer that tells the words of a crop's caption from what the image tower makes of it."""
    model.word_head = nn.Linear(int(model.config.vision_config.hidden_size), num_words)


def without_word_head(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the scorer itself."""
    return {name: value for name, value in weights.items() if not name.startswith("word_head.")}


def layer_of(name: str) -> tuple[str, int] | None:
    """(tower, number from 0) of the encoder layer that a weight belongs to; None for the others."""
    found = _LAYER.match(name)
    return (found.group(1), int(found.group(2))) if found else None
