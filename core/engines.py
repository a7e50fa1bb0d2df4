"""What computes a trained network on a CPU: torch, onnxruntime or OpenVINO; and where graphs made for them are kept."""

import os
import shutil
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError, reason
from core.files import folder_lock
from core.manifest import verify_manifest, write_manifest


class Engine(Enum):
    """What computes a network."""

    torch = "torch"
    onnx = "onnx"
    openvino = "openvino"


class OpenVinoSession:
    """An ONNX graph computed by OpenVINO in float32, called as an onnxruntime session is; from any thread.

    Raises InputError where the package is missing or the graph cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise InputError("engine: openvino is not installed: pip install 'grounder[openvino]'") from error
        try:
            self._graph: Any = openvino.Core().compile_model(
                str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
            )
        except RuntimeError as error:
            raise InputError(f"{path}: not a graph that OpenVINO can run: {reason(error)}") from error

    def run(self, outputs: None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """All outputs, in their order; `outputs` is there as onnxruntime has it."""
        found = self._graph.create_infer_request().infer(dict(inputs))
        return [np.array(found[output]) for output in self._graph.outputs]


def graphs_folder() -> Path:
    """Where graphs are kept from run to run: `grounder/graphs` in the user's cache folder (XDG_CACHE_HOME)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grounder" / "graphs"


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder as `make` filled it, now or at an earlier time; one whose manifest does not verify is made anew."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder.parent, f".{folder.name}.lock"):
        try:
            verify_manifest(folder)
        except InputError:
            partial = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            write_manifest(partial)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(partial, folder)
    return folder
