"""Hugging Face checkpoints behind the scorer protocol.

Shapes: N crops, M captions, D embedding width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.choosing import score_matrix
from core.errors import InputError
from core.files import sha256_bytes, sha256_file
from siglip.model import load_parts, tokens
from siglip.pixels import crop_pixels
from siglip.scorer import TEMPLATE, ScorerConfig


class SiglipScorer:
    """A SigLIP checkpoint as `core.stages.Scorer`."""

    def __init__(self, config: ScorerConfig, device: str) -> None:
        if not config.weights:
            raise InputError("scorer.weights: must be given: a checkpoint folder or a hub name")
        self._model, self._processor, self.settings = load_parts(config.weights)
        stored = self.settings.get("template")
        if config.template is not None and stored is not None and config.template != stored:
            raise InputError(f"scorer.template: {config.template!r}, but {config.weights} was trained with {stored!r}")
        self.template = config.template or stored or TEMPLATE
        self.policy = self.settings.get("policy")
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[config.precision]
        self._model.to(device=device, dtype=dtype).eval()
        self._device, self._dtype, self._batch = device, dtype, config.batch
        self.key = sha256_bytes(f"{weights_digest(config.weights)} {self.template} {config.precision}".encode())[:16]

    @property
    def calibration(self) -> dict[str, Any]:
        """`scale` and `bias` of the sigmoid."""
        scale, bias = self._model.logit_scale.exp().item(), self._model.logit_bias.item()
        return {"scale": scale, "bias": bias, "sigmoid": True}

    @torch.inference_mode()
    def embed_images(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(N) crops -> (N, D) unit vectors."""
        parts = []
        for start in range(0, len(crops), self._batch):
            pixels = crop_pixels(crops[start : start + self._batch], self._processor.image_processor)
            output = self._model.vision_model(pixel_values=pixels.to(self._device, self._dtype)).pooler_output
            parts.append(_unit(output))
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    @torch.inference_mode()
    def embed_texts(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """(M) captions -> (M, D) unit vectors."""
        if not captions:
            return np.zeros((0, 0), np.float32)
        inputs = tokens(self._processor, captions, self.template)
        return _unit(self._model.text_model(input_ids=inputs["input_ids"].to(self._device)).pooler_output)

    def scores(self, image_emb_ND: NDArray[np.float32], text_emb_MD: NDArray[np.float32]) -> NDArray[np.floating]:
        """(N, M) sigmoid probabilities."""
        return score_matrix(self.calibration, image_emb_ND, text_emb_MD)


def _unit(output: torch.Tensor) -> NDArray[np.float32]:
    output = output.float()
    return (output / output.norm(dim=-1, keepdim=True)).cpu().numpy()


def weights_digest(weights: str) -> str:
    """The content key of a checkpoint: the digests of its weight files, or the hub name."""
    folder = Path(weights)
    if not folder.is_dir():
        return weights
    files = sorted(p for p in folder.iterdir() if p.suffix in {".safetensors", ".bin", ".json"} and p.is_file())
    return sha256_bytes("\n".join(f"{p.name} {sha256_file(p)}" for p in files if p.name != "manifest.json").encode())
