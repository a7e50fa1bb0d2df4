"""The work of siglip.export: each tower traced once with a free batch, written, and compared with the original.

Shapes: N crops, M captions, D embedding width.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import InputError
from core.files import write_json
from siglip.build import build_scorer
from siglip.export.settings import ExportConfig, ExportFormat
from siglip.model import unit
from siglip.objective import OBJECTIVE
from siglip.scorers.two_towers import TorchTowers, TwoTowerScorer
from siglip.settings import EXPORTED, Family, ScorerConfig
from siglip.weights import find_scorer

TOWERS = ("image", "text")
CAPTIONS = ("red drone", "a white and grey helicopter seen from above", "blue missile")
LARGEST_ERROR = {False: 1e-3, True: 5e-2}  # of a unit embedding's numbers, by half precision; more is a defect


class _Tower(torch.nn.Module):
    """One tower's inputs, in their order, to unit embeddings (N, D) float32."""

    def __init__(self, towers: TorchTowers, which: str, names: list[str]) -> None:
        super().__init__()
        self.model = towers.model  # registered, so that the exporter sees its weights
        self._names, self._towers, self._which = names, towers, which

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        inputs = dict(zip(self._names, values, strict=True))
        embed = self._towers.embed_images if self._which == "image" else self._towers.embed_texts
        return unit(embed(inputs).float())


def export_and_compare(config: ExportConfig, folder: Path) -> dict[str, Any]:
    """See `siglip.export.run`; `scorer.json`, which makes the folder a scorer, is written last."""
    if config.format is ExportFormat.tensorrt:
        _require_tensorrt()
    original = build_scorer(ScorerConfig(weights=config.weights, template=config.template))
    assert isinstance(original, TwoTowerScorer)
    towers = original.towers
    if not isinstance(towers, TorchTowers):
        raise InputError(f"weights: {config.weights} is exported already; give a checkpoint")
    if towers.naflex:
        raise InputError(f"weights: {config.weights}: NaFlex resizes its positions crop by crop, which a fixed graph "
                         "cannot hold")  # fmt: skip
    inputs = {"image": towers.image_inputs(_crops()[:2]), "text": towers.text_inputs(CAPTIONS[:2], original.template)}
    if config.half:
        towers.use_precision(torch.float16)
    for which in TOWERS:
        _write(towers, which, inputs[which], folder / f"{which}.onnx", config.opset)
    towers.save_inputs(folder)
    objective = Path(find_scorer(config.weights)) / OBJECTIVE
    if objective.is_file():
        shutil.copyfile(objective, folder / OBJECTIVE)
    write_json(folder / EXPORTED, {
        "inputs": towers.family, "calibration": original.calibration,
        "settings": {**original.settings, "template": original.template}, "text_length": towers.text_length,
        "half": config.half, "largest_batch": config.largest_batch, "format": config.format.name,
        "names": {which: list(inputs[which]) for which in TOWERS},
    })  # fmt: skip
    return _compare(config, folder)


def _require_tensorrt() -> None:
    import onnxruntime

    if not torch.cuda.is_available():
        raise InputError("format: tensorrt needs an NVIDIA GPU; this machine has none")
    if "TensorrtExecutionProvider" not in onnxruntime.get_available_providers():
        raise InputError("format: tensorrt needs onnxruntime's build with TensorRT (the package onnxruntime-gpu)")


def _write(towers: TorchTowers, which: str, inputs: dict[str, torch.Tensor], path: Path, opset: int) -> None:
    """Trace one tower; its weights lie beside the graph in `NAME.onnx.data`, whatever their size."""
    names = list(inputs)
    batch = torch.export.Dim("batch", min=1)
    free = which == "text" and towers.free_length
    length = torch.export.Dim("length", min=2, max=towers.text_length) if free else None
    shapes = {0: batch} if length is None else {0: batch, 1: length}
    program = torch.onnx.export(
        _Tower(towers, which, names).eval(), tuple(inputs.values()), input_names=names, output_names=["embeddings"],
        dynamic_shapes=((shapes,) * len(names),), opset_version=opset, dynamo=True, verbose=False,
    )  # fmt: skip
    assert program is not None
    program.save(path, external_data=True)


def _crops() -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (20 + 9 * i, 60 - 7 * i, 3)).astype(np.uint8) for i in range(5)]


def _compare(config: ExportConfig, folder: Path) -> dict[str, Any]:
    """Unit embeddings and scores of five crops and three captions, the original's against the exported."""
    device = "cuda" if config.format is ExportFormat.tensorrt else "cpu"
    settings = ScorerConfig(weights=config.weights, template=config.template)
    ours = build_scorer(settings)
    theirs = build_scorer(replace(settings, weights=str(folder), family=Family.onnx), device)
    images, texts = (
        [s.embed_images(_crops()) for s in (ours, theirs)],
        [s.embed_texts(CAPTIONS) for s in (ours, theirs)],
    )
    errors = {
        "max_image_error": float(np.abs(images[0] - images[1]).max()),
        "max_text_error": float(np.abs(texts[0] - texts[1]).max()),
        "max_score_error": float(
            np.abs(ours.scores(images[0], texts[0]) - theirs.scores(images[1], texts[1])).max()
        ),
    }  # fmt: skip
    worst = max(errors["max_image_error"], errors["max_text_error"])
    if not worst <= LARGEST_ERROR[config.half]:
        (folder / EXPORTED).unlink()
        raise RuntimeError(f"the exported towers differ from their original by {worst:.3g}")
    size = sum(p.stat().st_size for p in folder.glob("*.onnx*"))
    return {**errors, "bytes": size, "scale": ours.calibration["scale"], "bias": ours.calibration["bias"]}
