"""A detector of ours as a network: YOLOv6, or one of transformers."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import InputError
from core.values import Candidates
from detector.inference.network import above
from detector.models.model import Model
from detector.models.opening import open_model


class FolderNetwork:
    """A model folder, or a pickled YOLOv6, in evaluation mode."""

    def __init__(self, path: Path, device: str, half: bool = False) -> None:
        model, self.digest = open_model(path)
        self._path = path
        self._device = torch.device(device)
        self._half = half and self._device.type != "cpu"
        self.model: Model = (model.half() if self._half else model).eval().to(self._device)
        self.stride, self.imgsz = model.stride, model.imgsz
        self.fixed_shape = None

    @torch.inference_mode()
    def predict(self, inputs: NDArray[np.uint8], floor: float, published_tta: bool = False) -> list[Candidates]:
        """(B, H, W, 3) RGB inputs -> per input the boxes in input pixels with confidence >= floor, before NMS."""
        if published_tta:
            raise InputError(f"{self._path}: views: tta needs an Ultralytics checkpoint; use flips and scales")
        batch = torch.from_numpy(inputs).to(self._device).permute(0, 3, 1, 2)
        boxes, confidence = self.model.detect((batch.half() if self._half else batch.float()) / 255)
        pairs = zip(boxes.float().cpu().numpy(), confidence.float().cpu().numpy(), strict=True)
        return [above(one, sure, floor) for one, sure in pairs]
