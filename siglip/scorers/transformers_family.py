"""Scorers that transformers runs: SigLIP, SigLIP 2 (NaFlex too), CLIP, LAION's and MetaCLIP's, and their like.

Shapes: N crops, M captions, D embedding width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.errors import InputError, reason
from core.stages import Image
from siglip.model import load_parts, prompts, text_length, tokens
from siglip.pixels import crop_pixels
from siglip.settings import ScorerMemberConfig


class TransformersInputs:
    """Crops and captions as a transformers checkpoint's own processor prepares them."""

    def __init__(self, processor: Any, sigmoid: bool, text_length: int) -> None:
        self.processor, self.text_length = processor, text_length
        self.free_length = not sigmoid
        self.naflex = "spatial_shapes" in processor.image_processor.model_input_names

    def image_inputs(self, crops: Sequence[Image]) -> dict[str, torch.Tensor]:
        """(N) crops -> pixel_values; NaFlex adds each crop's mask and its rows and columns of patches."""
        if not self.naflex:
            return {"pixel_values": crop_pixels(crops, self.processor.image_processor)}
        # The layout is always named: the processor takes a side of 1 or 3 pixels for a channel axis when it must guess.
        channels_first = [torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1))) for crop in crops]
        made = self.processor.image_processor(
            images=channels_first, input_data_format="channels_first", return_tensors="pt"
        )
        return dict(made)

    def text_inputs(self, captions: Sequence[str], template: str) -> dict[str, torch.Tensor]:
        """(M) captions in their template -> the tokenizer's inputs.

        A family trained with the sigmoid loss reads its last position, so its texts are padded to the full length and
        come without an attention mask, as in its training; the others are padded to the longest of these texts.
        """
        if not self.free_length:
            return tokens(self.processor, captions, template, self.text_length)
        texts = prompts(captions, template)
        made = self.processor.tokenizer(
            texts, padding=True, truncation=True, max_length=self.text_length, return_tensors="pt"
        )
        return dict(made)


def read_inputs(folder: Path, sigmoid: bool, text_length: int) -> TransformersInputs:
    """Crops' and captions' way into towers from a folder's processor alone; InputError when it cannot be loaded."""
    from transformers import AutoProcessor

    try:
        return TransformersInputs(AutoProcessor.from_pretrained(folder), sigmoid, text_length)
    except Exception as error:  # the library raises anything from OSError to KeyError for a broken folder
        raise InputError(f"{folder}: its processor cannot be loaded: {reason(error)}") from error


class TransformersTowers(TransformersInputs):
    """Both towers of a transformers checkpoint; see `siglip.scorers.two_towers.Towers`."""

    family = "transformers"

    def __init__(self, model: Any, processor: Any, settings: dict[str, Any], device: str, dtype: torch.dtype) -> None:
        self.sigmoid = getattr(model, "logit_bias", None) is not None
        positions = int(model.config.text_config.max_position_embeddings)
        super().__init__(processor, self.sigmoid, text_length(model.config) if self.sigmoid else positions)
        self.settings = settings
        self.model = model.to(device=device, dtype=dtype).eval()
        self._device, self._dtype = device, dtype

    @property
    def calibration(self) -> dict[str, Any]:
        """The scale and, of a family trained with the sigmoid loss, the bias."""
        bias = self.model.logit_bias.item() if self.sigmoid else 0.0
        return {"scale": self.model.logit_scale.exp().item(), "bias": bias, "sigmoid": self.sigmoid}

    def embed_images(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(N, D)."""
        return self.model.get_image_features(**self._placed(inputs)).pooler_output

    def embed_texts(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(M, D)."""
        return self.model.get_text_features(**self._placed(inputs)).pooler_output

    def use_precision(self, dtype: torch.dtype) -> None:
        """Compute in another type from now on."""
        self.model, self._dtype = self.model.to(dtype), dtype

    def save_inputs(self, folder: Path) -> None:
        """Leave in `folder` what `read_inputs` needs."""
        self.processor.save_pretrained(folder)

    def _placed(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {k: v.to(self._device, self._dtype if v.is_floating_point() else None) for k, v in inputs.items()}


def load(config: ScorerMemberConfig, device: str) -> TransformersTowers:
    """The towers of a folder or hub name.

    Raises InputError when it cannot be loaded, or when its model compares no images with texts.
    """
    model, processor, settings = load_parts(str(config.weights))
    offers = all(hasattr(model, name) for name in ("logit_scale", "get_image_features", "get_text_features"))
    if not offers or not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise InputError(f"{config.weights}: a {model.config.model_type} model compares no crops with captions")
    return TransformersTowers(model, processor, settings, device, getattr(torch, config.precision.value))
