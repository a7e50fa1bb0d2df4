"""The work of detector.export: Ultralytics' exporter, then both models on one image."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.runs import RunFolder
from detector.export.settings import ExportConfig, ExportFormat
from detector.export.tracing import trace
from detector.inference.letterbox import input_shape, letterbox
from detector.models.opening import is_ours
from detector.weights import find_weights


def export_and_compare(config: ExportConfig, folder: RunFolder) -> dict[str, Any]:
    """Export a copy of the weights inside the run folder, then compare; see detector.export."""
    source = find_weights(config.weights)
    ours = is_ours(source)
    if source.suffix != ".pt" and not ours:
        raise InputError(f"weights: {source} is exported already; give a .pt checkpoint")
    folder.add_parent(source)
    network = _network(source, ours)
    imgsz = network.imgsz if config.imgsz is None else config.imgsz
    shape = input_shape((1, 1), _pair(imgsz), network.stride)
    if ours:
        exported = trace(network.model, folder.path / f"{exported_name(source)}.onnx", config, shape)
    else:
        exported = _export(source, folder.path, config, shape)
    if config.format is ExportFormat.tensorrt:
        return {"file": str(exported), "bytes": exported.stat().st_size}
    return {"file": str(exported), "bytes": exported.stat().st_size, **_compare(network, exported, config, shape)}


def _network(source: Path, ours: bool) -> Any:
    if ours:
        from detector.inference.folder_network import FolderNetwork

        return FolderNetwork(source, "cpu")
    from detector.inference.torch_network import TorchNetwork

    return TorchNetwork(source, "cpu")


def exported_name(source: Path) -> str:
    """The exported file's name without suffix: the run's where the weights are called best or last."""
    return source.parent.parent.name if source.stem in {"best", "last"} else source.stem


def _pair(imgsz: Any) -> tuple[int, int]:
    sides = [imgsz] if isinstance(imgsz, int) else list(imgsz)
    return int(sides[0]), int(sides[-1])


def _export(source: Path, root: Path, config: ExportConfig, shape: tuple[int, int]) -> Path:
    import torch

    from detector import environment as environment  # before any import of ultralytics

    from ultralytics import YOLO  # isort: skip

    engine = config.format is ExportFormat.tensorrt
    if engine and not torch.cuda.is_available():
        raise InputError("format: tensorrt needs an NVIDIA GPU and the package tensorrt; this machine has no GPU")
    copy = root / f"{exported_name(source)}.pt"
    shutil.copyfile(source, copy)  # the exporter writes beside the checkpoint
    try:
        made = YOLO(str(copy)).export(
            format="engine" if engine else "onnx", imgsz=list(shape), dynamic=config.dynamic, batch=config.batch,
            quantize=16 if config.half else None, opset=config.opset, simplify=True, nms=False,
            device=0 if engine else "cpu",
        )  # fmt: skip
    finally:
        copy.unlink()
    return Path(made)


def _compare(network: Any, exported: Path, config: ExportConfig, shape: tuple[int, int]) -> dict[str, Any]:
    """Largest differences over every anchor of one image, before any cut."""
    from detector.inference.onnx_network import OnnxNetwork

    inputs = letterbox(_image(config, shape), shape)[0][None]
    pair = (network.predict(inputs, 0.0)[0], OnnxNetwork(exported, "cpu").predict(inputs, 0.0)[0])
    # As sets: where confidences tie, a network that ranks its boxes may give them in another order.
    ours, theirs = (c.take(np.lexsort([*c.boxes_xyxy.T.round(1), c.confidence.round(4)])) for c in pair)
    if len(ours) != len(theirs):
        raise RuntimeError(f"the exported model gives {len(theirs)} boxes and its original {len(ours)}")
    return {
        "num_boxes": len(ours),
        "max_box_error_px": float(np.abs(ours.boxes_xyxy - theirs.boxes_xyxy).max(initial=0)),
        "max_confidence_error": float(np.abs(ours.confidence - theirs.confidence).max(initial=0)),
    }


def _image(config: ExportConfig, shape: tuple[int, int]) -> NDArray[np.uint8]:
    if config.image is not None:
        from core.images import read_image

        return read_image(config.image)
    rng = np.random.default_rng(0)  # smooth blobs and noise: something for every anchor to answer to
    coarse = rng.integers(0, 256, (max(2, shape[0] // 16), max(2, shape[1] // 16), 3), dtype=np.uint8)
    image = np.repeat(np.repeat(coarse, 16, axis=0), 16, axis=1)
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
