"""Scorers that siglip.export wrote: two ONNX towers by onnxruntime, on a CPU, on CUDA, or through TensorRT.

Shapes: N crops, M captions, D embedding width.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.engines import Engine, OpenVinoSession
from core.errors import InputError, reason
from core.files import read_json
from siglip.model import require_preprocessing
from siglip.settings import EXPORTED, Precision, ScorerMemberConfig

if TYPE_CHECKING:
    from siglip.scorers.two_towers import Towers


class OnnxTowers:
    """Both towers of an exported scorer; see `two_towers.Towers`. Crops and captions are the family's own."""

    def __init__(self, folder: Path, exported: dict[str, Any], device: str, engine: Engine) -> None:
        self.settings: dict[str, Any] = exported["settings"]
        self.computed_by = " openvino" if engine is Engine.openvino else ""  # whose last digits differ
        self.calibration: dict[str, Any] = exported["calibration"]
        source: Any = _inputs(folder, exported)
        self.image_inputs, self.text_inputs = source.image_inputs, source.text_inputs
        self._largest = int(exported["largest_batch"]) if exported["format"] == "tensorrt" else None
        self._image, self._text = (
            _session(folder / f"{w}.onnx", folder, exported, device, engine) for w in ("image", "text")
        )

    def embed_images(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(N, D)."""
        return self._run(self._image, inputs)

    def embed_texts(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(M, D)."""
        return self._run(self._text, inputs)

    def _run(self, session: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        fed = {name: value.numpy() for name, value in inputs.items()}
        count = len(next(iter(fed.values())))
        step = self._largest or count
        parts = [session.run(None, {k: v[i : i + step] for k, v in fed.items()})[0] for i in range(0, count, step)]
        return torch.from_numpy(np.concatenate(parts))


def _inputs(folder: Path, exported: dict[str, Any]) -> Any:
    if exported["inputs"] == "open_clip":
        from siglip.scorers.open_clip_family import read_inputs as read_open_clip

        return read_open_clip(folder)
    from siglip.scorers.transformers_family import read_inputs

    inputs = read_inputs(folder, bool(exported["calibration"]["sigmoid"]), int(exported["text_length"]))
    require_preprocessing(str(folder), inputs.processor, exported["settings"].get("preprocessing"))
    return inputs


def _session(path: Path, folder: Path, exported: dict[str, Any], device: str, engine: Engine) -> Any:
    if engine is Engine.openvino and exported["format"] == "onnx":
        return OpenVinoSession(path)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    wanted: list[Any] = []
    if device != "cpu":
        place = {"device_id": int(device.partition(":")[2] or 0)}
        built = {**place, "trt_engine_cache_enable": True, "trt_engine_cache_path": str(folder / "engines"),
                  "trt_fp16_enable": bool(exported["half"])}  # fmt: skip
        wanted = [("TensorrtExecutionProvider", built)] if exported["format"] == "tensorrt" else []
        wanted.append(("CUDAExecutionProvider", place))
    known = set(onnxruntime.get_available_providers())
    providers = [p for p in wanted if p[0] in known] + ["CPUExecutionProvider"]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # protobuf, graph and missing data each have a class of their own
        raise InputError(f"{path}: not a tower that can be run: {reason(error)}") from error


def load(config: ScorerMemberConfig, device: str, engine: Engine = Engine.torch) -> "Towers":
    """The towers of a folder that siglip.export wrote; InputError when it is not complete."""
    folder = Path(str(config.weights))
    if not (folder / EXPORTED).is_file():
        raise InputError(f"{folder}: holds no {EXPORTED}; siglip.export writes such folders")
    if config.precision is not Precision.float32:
        raise InputError("scorer.precision: was fixed by siglip.export; its half=true gives half precision")
    exported = read_json(folder / EXPORTED)
    missing = {"settings", "calibration", "inputs", "half", "largest_batch", "format", "text_length"} - set(exported)
    if missing:
        raise InputError(f"{folder / EXPORTED}: field {min(missing)!r}: missing")
    return OnnxTowers(folder, exported, device, engine)
