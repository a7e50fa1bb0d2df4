"""The one place that builds a detector; light to import."""

from typing import TYPE_CHECKING

from core.engines import Engine
from detector.settings import DetectorConfig

if TYPE_CHECKING:
    from core.stages import Detector


def build_detector(config: DetectorConfig, device: str = "cpu", engine: Engine = Engine.torch) -> "Detector":
    """The detector of these settings on `device` (`cpu`, `cuda`, `cuda:1`); `engine` computes its ONNX models.

    Raises InputError for weights that are missing, broken, hostile or of an unknown architecture.
    """
    from detector.inference.ensemble import build_ensemble

    return build_ensemble(config, device, engine)
