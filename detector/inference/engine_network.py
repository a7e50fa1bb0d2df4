"""A TensorRT engine as a network, through Ultralytics' backend. Not run where it was written: that had no GPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import InputError
from core.files import sha256_file
from core.stages import require_finite
from core.values import Candidates
from detector import environment as environment  # before any import of ultralytics
from detector.inference.network import class_places
from detector.inference.torch_network import decode


class EngineNetwork:
    """What `detector.export format=tensorrt` wrote, on the kind of GPU it was written on."""

    def __init__(self, path: Path, device: str, classes: Sequence[str] = ()) -> None:
        if device == "cpu" or not torch.cuda.is_available():
            raise InputError(f"{path}: a TensorRT engine needs an NVIDIA GPU; this machine has none")
        from ultralytics.nn.autobackend import AutoBackend

        try:
            self._backend: Any = AutoBackend(model=str(path), device=torch.device(device), fp16=True, verbose=False)
        except Exception as error:  # a missing package, another GPU or another TensorRT each raise their own
            raise InputError(f"{path}: the engine cannot be run here: {error}") from error
        self.digest = sha256_file(path)
        self.stride = max(int(self._backend.stride), 32)
        height, width = (int(side) for side in self._backend.imgsz)
        self.imgsz: int | tuple[int, int] = (height, width)
        self.fixed_shape = None if getattr(self._backend, "dynamic", False) else (height, width)
        self._path = path
        self._num_classes = len(self._backend.names)
        self._places = class_places(self._backend.names, classes, str(path))

    @torch.inference_mode()
    def predict(self, inputs: NDArray[np.uint8], floor: float, published_tta: bool = False) -> list[Candidates]:
        """(B, H, W, 3) RGB inputs -> per input the boxes in input pixels with confidence >= floor, before NMS."""
        if published_tta:
            raise InputError(f"{self._path}: views: tta needs a .pt checkpoint; use flips and scales")
        batch = torch.from_numpy(inputs).to(self._backend.device).permute(0, 3, 1, 2)
        batch = (batch.half() if self._backend.fp16 else batch.float()) / 255
        output = self._backend(batch.contiguous())
        raw = output[0] if isinstance(output, list | tuple) else output
        require_finite(raw.float().cpu().numpy(), "detector", str(self._path))
        return [decode(one, self._num_classes, floor, self._places) for one in raw.float()]
