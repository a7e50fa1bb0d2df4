"""What a training starts from: weights, or a model description of ours or Ultralytics'."""

import importlib.resources
from pathlib import Path

from core.errors import InputError
from detector.models.opening import is_ours
from detector.settings import DetectorConfig
from detector.weights import find_weights, load_model

MODELS = "configs/detector/models"


def find_start(detector: DetectorConfig) -> Path | str:
    """The weights file or the model description that training begins with; InputError when there is none."""
    start = detector.weights or detector.train.model
    if start is None:
        raise InputError("detector: names nothing to start from; give a preset, weights or detector.train.model")
    if not str(start).endswith((".yaml", ".yml")):
        path = find_weights(str(start))
        if is_ours(path):
            return path
        if path.suffix != ".pt":
            raise InputError(f"{path}: training starts from a .pt checkpoint or a .yaml model description")
        load_model(path)  # a hostile, broken or foreign file ends here, with one line
        return path
    return _description(str(start))


def is_loop_start(start: Path | str) -> bool:
    """Whether our own loop trains it: a detector of ours, or a description that names its `model_type`."""
    path = Path(start)
    if path.suffix in {".yaml", ".yml"}:
        return path.is_file() and "model_type:" in path.read_text()
    return is_ours(path)


def _description(name: str) -> Path:
    given = Path(name).expanduser()
    shipped = Path(str(importlib.resources.files("configs").joinpath("detector", "models", name)))
    for path in (given, shipped):
        if path.is_file():
            return path
    from detector import environment as environment  # before any import of ultralytics

    from ultralytics.nn.tasks import yaml_model_load  # isort: skip

    try:
        yaml_model_load(name)  # knows that yolov8n.yaml is yolov8.yaml at the scale n
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such model description, neither here, in {MODELS} nor in Ultralytics") from error
    return Path(name)
