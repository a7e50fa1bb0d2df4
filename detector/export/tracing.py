"""A detector of ours into ONNX: rows of corners, confidence and class, as an end-to-end YOLO gives them."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InputError, reason

if TYPE_CHECKING:
    from detector.export.settings import ExportConfig

OPSET = 17


def trace(model: Any, path: Path, config: "ExportConfig", shape_hw: tuple[int, int]) -> Path:
    """Write the model for this input shape; a dynamic one is YOLOv6's alone. Raises InputError.

    The file gives (B, N, 6): left, top, right, bottom in input pixels, confidence, 0.
    """
    import torch
    from torch import Tensor

    from detector.models.yolov6 import YoloV6Model

    if config.format.name != "onnx":
        raise InputError(f"format: {config.format.name} is for Ultralytics' checkpoints; this detector goes to onnx")
    if config.half:
        raise InputError("half: this detector is exported in single precision; give half=false")

    class Rows(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images_BCHW: Tensor) -> Tensor:
            boxes, confidence = self.model.detect(images_BCHW)
            return torch.cat([boxes, confidence[..., None], torch.zeros_like(confidence)[..., None]], -1)

    dynamic = config.dynamic and isinstance(model, YoloV6Model)  # the others bake shapes of their queries in
    axes = {"images": {0: "batch", 2: "height", 3: "width"}, "output": {0: "batch", 1: "boxes"}} if dynamic else None
    if not dynamic:
        model.prepare_export(shape_hw)
    example = torch.rand(1 if dynamic else config.batch, 3, *shape_hw)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the tracer tells of every shape that becomes a constant
            torch.onnx.export(
                Rows().eval(), (example,), str(path), dynamo=False, opset_version=config.opset or OPSET,
                input_names=["images"], output_names=["output"], dynamic_axes=axes,
            )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        raise InputError(f"{path}: cannot be exported with opset {config.opset or OPSET}: {reason(error)}") from error
    _describe(path, {"names": "{0: 'target'}", "stride": str(model.stride), "imgsz": str(list(shape_hw))})
    return path


def _describe(path: Path, metadata: dict[str, str]) -> None:
    import onnx

    model = onnx.load(str(path))
    for name, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, value
    onnx.save(model, str(path))
