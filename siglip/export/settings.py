"""Settings of `siglip.export`."""

from dataclasses import dataclass
from enum import Enum

from omegaconf import MISSING

from core.runs import RunConfig
from core.weights import WeightsConfig


class ExportFormat(Enum):
    """What to export to."""

    onnx = "onnx"
    tensorrt = "tensorrt"


@dataclass
class ExportConfig(WeightsConfig, RunConfig):
    """Settings of `siglip.export`."""

    weights: str = MISSING  # folder or hub name of a checkpoint, of transformers or of open_clip
    format: ExportFormat = ExportFormat.onnx  # onnx, or tensorrt (needs an NVIDIA GPU and onnxruntime's build for it)
    template: str | None = None  # prompt template to keep with it; null: the checkpoint's own
    half: bool = False  # half precision of weights and arithmetic; scale and bias stay float32
    opset: int = 18  # ONNX operator set
    largest_batch: int = 20  # tensorrt: crops or captions that an engine takes at a time, as published
