"""What a training by our loop starts from: a folder, a pickled YOLOv6, or a description of a model."""

from pathlib import Path
from typing import Any

import yaml

from core.errors import InputError
from core.files import read_text
from detector.models.model import Model
from detector.models.yolov6 import MODEL_TYPE, YoloV6Model, read_graph

NUM_CLASSES = 1  # every target is one


def start_model(start: Path | str, imgsz: int, atss_epochs: int) -> Model:
    """The model, for one class; class predictors of other classes are fresh. Raises InputError."""
    from detector.models.detr import build_detr

    path = Path(start)
    if path.suffix == ".pt":
        from detector.yolov6.pickled import read_pickled

        return _yolov6(read_pickled(path), path, imgsz, atss_epochs)
    if path.is_dir():
        from detector.models.folder import read_config, read_tensors

        kind = read_config(path)["model_type"]
        if kind == MODEL_TYPE:
            return _yolov6(read_tensors(path), path, imgsz, atss_epochs)
        _require_trainable(kind, path / "config.json")
        return _detr(path, kind)
    values = read_description(path)
    if values["model_type"] == MODEL_TYPE:
        from detector.yolov6.network import YoloV6

        return YoloV6Model(YoloV6(read_graph({**values, "num_classes": NUM_CLASSES}, path)), imgsz, atss_epochs)
    _require_trainable(values["model_type"], path)
    return build_detr({**values, "num_labels": NUM_CLASSES}, path, imgsz)


def read_description(path: Path) -> dict[str, Any]:
    """The fields of a model description of ours: `model_type` and what that takes. Raises InputError."""
    values = yaml.safe_load(read_text(path))
    if not isinstance(values, dict) or "model_type" not in values:
        raise InputError(f"{path}: field 'model_type': is missing")
    return values


def _require_trainable(kind: str, where: Path) -> None:
    from detector.models.detr import KINDS, TRAINABLE

    told = "is not trained here, only run" if kind in KINDS else "is no detector known here"
    if kind not in TRAINABLE:
        raise InputError(f"{where}: field 'model_type': {kind!r} {told}; {', '.join([MODEL_TYPE, *TRAINABLE])} are")


def _yolov6(tensors: Any, where: Path, imgsz: int, atss_epochs: int) -> Model:
    from dataclasses import replace

    from detector.yolov6.starting import graph_of, start_yolov6

    graph = replace(graph_of(tensors, where), num_classes=NUM_CLASSES)
    return YoloV6Model(start_yolov6(tensors, graph, where), imgsz, atss_epochs)


def _detr(folder: Path, kind: str) -> Model:
    """A transformers model, with fresh class layers where it was trained on other classes."""
    from detector.models.detr import open_detr

    return open_detr(folder, kind, num_classes=NUM_CLASSES)
