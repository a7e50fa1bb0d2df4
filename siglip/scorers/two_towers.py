"""Any family of two towers behind the scorer protocol.

A family (`family_*.py`) turns crops and captions into its towers' inputs and those into embeddings; batching, unit
length, the template, the key and the scores are the same for all and live here.

Shapes: N crops, M captions, D embedding width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from core.choosing import score_matrix
from core.files import sha256_bytes, sha256_file
from core.manifest import MANIFEST
from core.stages import Image, require_finite
from siglip.model import choose_template, unit
from siglip.objective import read_known_captions
from siglip.settings import CropView, ScorerMemberConfig

_DIGESTED = {".safetensors", ".bin", ".json", ".onnx", ".data", ".engine"}  # files that decide what a folder answers
TEXTS_AT_ONCE = 256  # captions that go through the text tower together


class Towers(Protocol):
    """What a family offers."""

    settings: dict[str, Any]  # what the checkpoint remembers of its training: template, policy

    @property
    def calibration(self) -> dict[str, Any]:
        """`scale`, `bias` and `sigmoid`."""

    def image_inputs(self, crops: Sequence[Image]) -> dict[str, torch.Tensor]:
        """(N) crops as the image tower's named inputs, float32 or integers."""

    def text_inputs(self, captions: Sequence[str], template: str) -> dict[str, torch.Tensor]:
        """(M) captions in their template as the text tower's named inputs."""

    def embed_images(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(N, D) of any length."""

    def embed_texts(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(M, D) of any length."""


@runtime_checkable
class TorchTowers(Towers, Protocol):
    """Towers that a family holds as a torch model, which `siglip.export` can trace."""

    model: torch.nn.Module
    family: str  # whose inputs an exported scorer takes: transformers, open_clip
    text_length: int  # tokens of the longest text
    free_length: bool  # texts are as long as the longest of a call, not always `text_length`
    naflex: bool  # positions are resized crop by crop

    def use_precision(self, dtype: torch.dtype) -> None:
        """Compute in another type from now on."""

    def save_inputs(self, folder: Path) -> None:
        """Leave in `folder` what crops' and captions' way into the towers needs."""


class TwoTowerScorer:
    """A checkpoint of any family as `core.stages.Scorer`."""

    def __init__(self, towers: Towers, config: ScorerMemberConfig) -> None:
        self.towers = towers
        self.settings = towers.settings
        self.template = choose_template(config.template, self.settings.get("template"), str(config.weights))
        self.policy = self.settings.get("policy")
        self.calibration = towers.calibration
        known = read_known_captions(str(config.weights))
        if known:  # said only then: a stored calibration without it stays what it was
            self.calibration = {**self.calibration, "known": known}
        self._batch, self._weights = config.batch, str(config.weights)
        self._views = list(config.views)
        made_of = f"{weights_digest(str(config.weights))} {self.template} {config.precision.value}"
        made_of += getattr(towers, "computed_by", "")
        if self._views != [CropView.plain]:  # said only then: earlier stores keep their keys
            made_of += f" {sorted(view.value for view in self._views)}"
        self.key = sha256_bytes(made_of.encode())[:16]

    @torch.inference_mode()
    def embed_images(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """(N) crops -> (N, D) unit vectors, those of several views averaged."""
        parts = []
        for start in range(0, len(crops), self._batch):
            batch = crops[start : start + self._batch]
            seen = [self._embed_view(batch, view) for view in self._views]
            parts.append(seen[0] if len(seen) == 1 else mean_unit(seen))
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def _embed_view(self, crops: Sequence[Image], view: CropView) -> NDArray[np.float32]:
        if view is CropView.flip_lr:
            crops = [np.ascontiguousarray(crop[:, ::-1]) for crop in crops]
        return self._unit(self.towers.embed_images(self.towers.image_inputs(crops)))

    @torch.inference_mode()
    def embed_texts(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """(M) captions -> (M, D) unit vectors; equal captions go through the tower once."""
        distinct = list(dict.fromkeys(captions))
        parts = []
        for start in range(0, len(distinct), TEXTS_AT_ONCE):
            inputs = self.towers.text_inputs(distinct[start : start + TEXTS_AT_ONCE], self.template)
            parts.append(self._unit(self.towers.embed_texts(inputs)))
        if not parts:
            return np.zeros((0, 0), np.float32)
        place = {caption: m for m, caption in enumerate(distinct)}
        return np.concatenate(parts)[[place[caption] for caption in captions]]

    def _unit(self, output: torch.Tensor) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = unit(output.float()).cpu().numpy()
        require_finite(vectors, "scorer", self._weights)
        return vectors

    def scores(self, image_emb_ND: NDArray[np.float32], text_emb_MD: NDArray[np.float32]) -> NDArray[np.floating]:
        """(N, M) sigmoid probabilities for families trained with a sigmoid, raw logits for the others."""
        return score_matrix(self.calibration, image_emb_ND, text_emb_MD)


def mean_unit(embeddings: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(N, D) the mean of several (N, D) unit vectors, at length one again."""
    total = np.sum(np.asarray(embeddings, np.float64), axis=0)
    length = np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)  # opposite ones have no direction
    return np.asarray(total / length, np.float32)


def weights_digest(weights: str) -> str:
    """The content key of a checkpoint: the digests of its weight files, or the hub name."""
    folder = Path(weights)
    if not folder.is_dir():
        return weights
    files = sorted(p for p in folder.iterdir() if p.suffix in _DIGESTED and p.is_file())
    return sha256_bytes("\n".join(f"{p.name} {sha256_file(p)}" for p in files if p.name != MANIFEST).encode())
