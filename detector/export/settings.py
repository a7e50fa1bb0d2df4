"""Settings of `detector.export`."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from omegaconf import MISSING

from core.runs import RunConfig
from core.weights import WeightsConfig


class ExportFormat(Enum):
    """What to export to."""

    onnx = "onnx"
    tensorrt = "tensorrt"


@dataclass
class ExportConfig(WeightsConfig, RunConfig):
    """Settings of `detector.export`."""

    weights: str = MISSING  # .pt checkpoint, detector.train run folder or published name
    format: ExportFormat = ExportFormat.onnx  # onnx or tensorrt (needs an NVIDIA GPU and its package)
    imgsz: Any = None  # input size, a side or [height, width]; null: what the checkpoint was trained at
    dynamic: bool = True  # let the exported model take any batch and size that the stride divides
    batch: int = 1  # batch of a model that is not dynamic
    half: bool = False  # half precision
    opset: int | None = None  # ONNX operator set; null: the newest that works
    image: str | None = None  # an image to compare on; null: a drawn pattern
