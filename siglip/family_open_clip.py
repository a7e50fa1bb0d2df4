"""Scorers that only open_clip runs, such as EVA02-CLIP: a folder as open_clip writes it for the hub, or a hub name.

Shapes: N crops, M captions, D embedding width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from core.errors import InputError
from core.files import read_json
from core.stages import Image
from siglip.model import SETTINGS_FILE
from siglip.scorer import ScorerMemberConfig


class OpenClipTowers:
    """Both towers of an open_clip model; see `siglip.two_towers.Towers`."""

    def __init__(self, model: Any, preprocess: Any, tokenizer: Any, settings: dict[str, Any], device: str) -> None:
        self.model, self._preprocess, self._tokenizer = model.eval(), preprocess, tokenizer
        self.settings, self._device = settings, device
        self._dtype = next(model.parameters()).dtype

    @property
    def calibration(self) -> dict[str, Any]:
        """The scale and, where the model has one, the bias: then it was trained with the sigmoid loss."""
        bias = getattr(self.model, "logit_bias", None)
        return {
            "scale": self.model.logit_scale.exp().item(),
            "bias": 0.0 if bias is None else bias.item(),
            "sigmoid": bias is not None,
        }

    def image_inputs(self, crops: Sequence[Image]) -> dict[str, torch.Tensor]:
        """(N) crops -> pixel_values, by the model's own transform."""
        from PIL import Image as Pillow

        return {"pixel_values": torch.stack([self._preprocess(Pillow.fromarray(crop)) for crop in crops])}

    def text_inputs(self, captions: Sequence[str], template: str) -> dict[str, torch.Tensor]:
        """(M) captions in their template -> input_ids of the model's full length."""
        return {"input_ids": self._tokenizer([template.format(caption.lower()) for caption in captions])}

    def embed_images(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(N, D)."""
        return self.model.encode_image(inputs["pixel_values"].to(self._device, self._dtype))

    def embed_texts(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(M, D)."""
        return self.model.encode_text(inputs["input_ids"].to(self._device))


def load(config: ScorerMemberConfig, device: str) -> OpenClipTowers:
    """The towers of a folder with `open_clip_config.json`, or of a hub name; InputError when it cannot be loaded."""
    import open_clip

    folder = Path(str(config.weights))
    name = f"local-dir:{folder}" if folder.is_dir() else f"hf-hub:{str(config.weights).removeprefix('hf-hub:')}"
    precision = {"float32": "fp32", "bfloat16": "pure_bf16", "float16": "pure_fp16"}[config.precision.value]
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(name, precision=precision, device=device)
        tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # the library raises anything from OSError to RuntimeError for a broken folder
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{config.weights}: cannot be loaded as a scorer by open_clip: {reason}") from error
    if folder.is_dir():
        _require_weights(folder)
    path = folder / SETTINGS_FILE
    return OpenClipTowers(model, preprocess, tokenizer, read_json(path) if path.is_file() else {}, device)


def _require_weights(folder: Path) -> None:
    """open_clip leaves a model random when its folder holds no weights; here that is an error."""
    if not any(p.suffix in {".safetensors", ".bin", ".pt", ".pth"} for p in folder.iterdir()):
        raise InputError(f"{folder}: holds no weights")
