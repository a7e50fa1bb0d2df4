"""Scorers that only open_clip runs, such as EVA02-CLIP: a folder as open_clip writes it for the hub, or a hub name.

Shapes: N crops, M captions, D embedding width.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from core.errors import InputError, reason
from core.files import read_json, write_json
from core.manifest import MANIFEST
from core.stages import Image
from siglip.model import SETTINGS_FILE, prompts
from siglip.settings import ScorerMemberConfig

PREPROCESS = "preprocess.json"  # what an exported scorer remembers of the transform


class OpenClipInputs:
    """Crops and captions as an open_clip model's own transform and tokenizer prepare them."""

    def __init__(self, preprocess: Any, tokenizer: Any) -> None:
        self._preprocess, self._tokenizer = preprocess, tokenizer

    def image_inputs(self, crops: Sequence[Image]) -> dict[str, torch.Tensor]:
        """(N) crops -> pixel_values, by the model's own transform."""
        from PIL import Image as Pillow

        return {"pixel_values": torch.stack([self._preprocess(Pillow.fromarray(crop)) for crop in crops])}

    def text_inputs(self, captions: Sequence[str], template: str) -> dict[str, torch.Tensor]:
        """(M) captions in their template -> input_ids of the model's full length."""
        return {"input_ids": self._tokenizer(prompts(captions, template))}


class OpenClipTowers(OpenClipInputs):
    """Both towers of an open_clip model; see `siglip.scorers.two_towers.Towers`."""

    family = "open_clip"
    free_length = False
    naflex = False

    def __init__(self, model: Any, preprocess: Any, tokenizer: Any, config: ScorerMemberConfig, device: str) -> None:
        super().__init__(preprocess, tokenizer)
        self._folder = Path(str(config.weights))
        path = self._folder / SETTINGS_FILE
        self.settings: dict[str, Any] = read_json(path) if path.is_file() else {}
        self.model, self._device = model.eval(), device
        self._dtype = next(model.parameters()).dtype
        self.text_length = int(tokenizer.context_length)

    @property
    def calibration(self) -> dict[str, Any]:
        """The scale and, where the model has one, the bias: then it was trained with the sigmoid loss."""
        bias = getattr(self.model, "logit_bias", None)
        return {
            "scale": self.model.logit_scale.exp().item(),
            "bias": 0.0 if bias is None else bias.item(),
            "sigmoid": bias is not None,
        }

    def embed_images(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(N, D)."""
        return self.model.encode_image(inputs["pixel_values"].to(self._device, self._dtype))

    def embed_texts(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(M, D)."""
        return self.model.encode_text(inputs["input_ids"].to(self._device))

    def use_precision(self, dtype: torch.dtype) -> None:
        """Compute in another type from now on."""
        self.model, self._dtype = self.model.to(dtype), dtype

    def save_inputs(self, folder: Path) -> None:
        """Leave in `folder` what `read_inputs` needs; InputError for a hub name, whose files are not at hand."""
        import open_clip

        if not self._folder.is_dir():
            raise InputError(f"weights: {self._folder}: is a name; download it and give the folder")
        kept = [p for p in self._folder.iterdir() if p.is_file() and p.suffix in {".json", ".txt", ".model"}]
        for path in kept:
            if path.name not in {SETTINGS_FILE, MANIFEST}:
                shutil.copy2(path, folder / path.name)
        write_json(folder / PREPROCESS, open_clip.get_model_preprocess_cfg(self.model))


def read_inputs(folder: Path) -> OpenClipInputs:
    """Crops' and captions' way into towers from what `save_inputs` left; InputError when that is not complete."""
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    values = {k: tuple(v) if isinstance(v, list) else v for k, v in read_json(folder / PREPROCESS).items()}
    try:
        preprocess = image_transform_v2(PreprocessCfg(**values), is_train=False)
        return OpenClipInputs(preprocess, open_clip.get_tokenizer(f"local-dir:{folder}"))
    except Exception as error:  # the library raises anything from OSError to RuntimeError for a broken folder
        raise InputError(f"{folder}: its preprocessing cannot be loaded: {reason(error)}") from error


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
        raise InputError(f"{config.weights}: cannot be loaded as a scorer by open_clip: {reason(error)}") from error
    if folder.is_dir():
        _require_weights(folder)
    return OpenClipTowers(model, preprocess, tokenizer, config, device)


def _require_weights(folder: Path) -> None:
    """open_clip leaves a model random when its folder holds no weights; here that is an error."""
    if not any(p.suffix in {".safetensors", ".bin", ".pt", ".pth"} for p in folder.iterdir()):
        raise InputError(f"{folder}: holds no weights")
