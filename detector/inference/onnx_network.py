"""Any YOLO exported to ONNX as a network: Ultralytics' layout, and that of YOLOv5, v6 (Meituan) and v7."""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines import Engine, OpenVinoSession
from core.errors import InputError, reason
from core.files import sha256_bytes, sha256_file
from core.stages import require_finite
from core.values import Candidates
from detector.inference.network import above, class_places


class OnnxNetwork:
    """An ONNX model run by onnxruntime on the CPU or, where its GPU build is installed, on CUDA; or by OpenVINO."""

    def __init__(
        self, path: Path, device: str, classes: Sequence[str] = (), engine: Engine = Engine.torch
    ) -> None:  # fmt: skip
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        wanted = ["CUDAExecutionProvider"] if device != "cpu" else []
        providers = [p for p in wanted if p in onnxruntime.get_available_providers()] + ["CPUExecutionProvider"]
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # protobuf, graph and type errors each have a class of their own
            raise InputError(f"{path}: not an ONNX model that can be run: {reason(error)}") from error
        self._path = path
        self.digest = sha256_file(path)
        self._meta = dict(self._session.get_modelmeta().custom_metadata_map)
        self._input = self._session.get_inputs()[0]
        self._check_shapes()
        height, width = self._input.shape[2:]
        fixed = isinstance(height, int) and isinstance(width, int)
        self.fixed_shape = (height, width) if fixed else None
        self._batch = self._input.shape[0] if isinstance(self._input.shape[0], int) else None
        # 64 suits every YOLO when the file does not say; at least 32, as where torch computes
        self.stride = max(int(float(self._meta.get("stride", 64))), 32)
        self.imgsz: int | tuple[int, int] = self.fixed_shape or _size(self._meta.get("imgsz"))
        names = ast.literal_eval(self._meta["names"]) if "names" in self._meta else None
        if classes and names is None:
            raise InputError(f"{path}: detector.classes: the file does not say how its classes are called")
        self._num_classes = None if names is None else len(names)
        self._places = None if names is None else class_places(names, classes, str(path))
        if engine is Engine.openvino:  # what the file says of itself was read by onnxruntime
            self._session = OpenVinoSession(path)
            self.digest = sha256_bytes(f"{self.digest} openvino".encode())  # its numbers differ in the last digits

    def predict(self, inputs: NDArray[np.uint8], floor: float, published_tta: bool = False) -> list[Candidates]:
        """(B, H, W, 3) RGB inputs -> per input the boxes in input pixels with confidence >= floor, before NMS."""
        if published_tta:
            raise InputError(f"{self._path}: views: tta needs a .pt checkpoint; use flips and scales with ONNX")
        kind: Any = np.float16 if "float16" in self._input.type else np.float32
        batch: Any = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)).astype(kind) / kind(255)
        step = self._batch or len(batch)
        found: list[Candidates] = []
        for start in range(0, len(batch), step):
            part = batch[start : start + step]
            short = step - len(part)
            if short:  # a model exported for a fixed batch takes no less
                part = np.concatenate([part, np.zeros((short, *part.shape[1:]), kind)])
            raw = self._session.run(None, {self._input.name: part})[0].astype(np.float32)
            require_finite(raw, "detector", str(self._path))
            found += [self._decode(one, floor) for one in raw[: step - short]]
        return found

    def _check_shapes(self) -> None:
        outputs = self._session.get_outputs()
        takes = self._input.shape
        if len(self._session.get_inputs()) != 1 or len(takes) != 4 or (takes[1] not in {3, None} and takes[1] != "3"):
            raise InputError(f"{self._path}: takes {takes}, not one batch of (3, height, width) images")
        if len(outputs[0].shape) != 3 or any("num_dets" in o.name or "num_detections" in o.name for o in outputs):
            raise InputError(f"{self._path}: holds its own NMS or is no detector; export it with the raw head")

    def _decode(self, raw: NDArray[np.float32], floor: float) -> Candidates:
        """One image's output -> Candidates in input pixels.

        Ultralytics: (4 + classes, N) centre boxes and class scores. YOLOv5, v6, v7: (N, 5 + classes) centre boxes, an
        objectness and class scores. Finished ones of an end-to-end head: (N, 6) corners, confidence, class.
        """
        if self._num_classes is not None and raw.shape[0] == 4 + self._num_classes:
            counted = raw[4 : 4 + self._num_classes] if self._places is None else raw[4:][self._places]
            centre, confidence = raw[:4].T, counted.max(0)
        elif self._num_classes is not None and raw.shape[1] == 6:
            raw = raw if self._places is None else raw[np.isin(raw[:, 5], self._places)]
            return above(raw[:, :4], raw[:, 4], floor)
        elif self._num_classes is None and raw.shape[0] > raw.shape[1] >= 5:
            scores = raw[:, 5:].max(1) if raw.shape[1] > 5 else 1.0
            centre, confidence = raw[:, :4], raw[:, 4] * scores
        elif self._num_classes is None and raw.shape[1] > raw.shape[0] >= 5:
            centre, confidence = raw[:4].T, raw[4:].max(0)
        else:
            raise InputError(f"{self._path}: gives {raw.shape} an image, which is no YOLO head this program knows")
        half = centre[:, 2:] / 2
        return above(np.concatenate([centre[:, :2] - half, centre[:, :2] + half], axis=1), confidence, floor)


def _size(text: Any) -> int | tuple[int, int]:
    """The size an exporter recorded: `[640, 640]` or `640`; 640 when it recorded none."""
    if not text:
        return 640
    value = ast.literal_eval(str(text))
    if isinstance(value, list | tuple):
        height, width = int(value[0]), int(value[-1])
        return height if height == width else (height, width)
    return int(value)
