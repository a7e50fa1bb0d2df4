"""An Ultralytics checkpoint as a network: fused, in evaluation mode, boxes before NMS."""

import inspect
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
from detector.inference.network import above, class_places
from detector.weights import load_model


class TorchNetwork:
    """Any Ultralytics detector: YOLO of any version, RT-DETR excluded; YOLO-World and YOLOE look for any `classes`.

    Of an ordinary checkpoint `classes` names those of its own that count.
    """

    def __init__(self, path: Path, device: str, half: bool = False, classes: Sequence[str] = ()) -> None:
        model, checkpoint = load_model(path)
        is_open = hasattr(model, "set_classes")
        if classes and is_open:
            _set_classes(model, list(classes), path)
        self._places = None if is_open else class_places(model.names, classes, str(path))
        self.digest, self._name = sha256_file(path), str(path)
        self._device = torch.device(device)
        self._half = half and self._device.type != "cpu"
        if getattr(model.model[-1], "one2one_cv2", None) is not None:
            model.end2end = False  # candidates are wanted before any suppression
        model = model.fuse(verbose=False).eval().to(self._device)
        self._model: Any = model.half() if self._half else model
        self.num_classes = len(classes) if classes and is_open else len(model.names)
        self.stride = max(int(model.stride.max()), 32)
        trained = checkpoint.get("train_args", {}).get("imgsz", 640)
        self.imgsz: int | tuple[int, int] = tuple(trained) if isinstance(trained, list | tuple) else int(trained)
        self.fixed_shape = None

    @torch.inference_mode()
    def predict(self, inputs: NDArray[np.uint8], floor: float, published_tta: bool = False) -> list[Candidates]:
        """(B, H, W, 3) RGB inputs -> per input the boxes in input pixels with confidence >= floor, before NMS."""
        batch = torch.from_numpy(inputs).to(self._device).permute(0, 3, 1, 2)
        batch = (batch.half() if self._half else batch.float()) / 255
        if published_tta and type(self._model.model[-1]).__name__ != "Detect":
            raise InputError("views: tta needs a plain detection head; this model has another, use flips and scales")
        raw = self._model(batch, augment=published_tta)
        while isinstance(raw, list | tuple):  # boxes come first; what is for training, and masks, after them
            raw = raw[0]
        if not torch.isfinite(raw).all():
            require_finite(raw.float().cpu().numpy(), "detector", self._name)
        return [decode(one, self.num_classes, floor, self._places) for one in raw.float()]


def decode(raw: torch.Tensor, num_classes: int, floor: float, places: Sequence[int] | None = None) -> Candidates:
    """(4 + classes + extras, N) centre boxes of the head, or (N, 6) finished ones, -> Candidates in input pixels.

    places: the classes that count; None for all.
    """
    if raw.shape[-1] == 6 and raw.shape[0] != 4 + num_classes:  # an end-to-end head whose other branch is gone
        if places is not None:
            raw = raw[torch.isin(raw[:, 5].long(), torch.tensor(places, device=raw.device))]
        return above(raw[:, :4].cpu().numpy(), raw[:, 4].cpu().numpy(), floor)
    scores = raw[4 : 4 + num_classes]
    # class-agnostic: the most likely class speaks for the box
    confidence = (scores if places is None else scores[list(places)]).amax(0)
    keep = confidence >= floor
    centre, size = raw[:2, keep], raw[2:4, keep]
    boxes = torch.cat([centre - size / 2, centre + size / 2]).T
    return above(boxes.cpu().numpy(), confidence[keep].cpu().numpy(), floor)


def _set_classes(model: Any, classes: list[str], path: Path) -> None:
    try:
        if "embeddings" in inspect.signature(model.set_classes).parameters:  # YOLOE
            model.set_classes(classes, model.get_text_pe(classes))
        else:  # YOLO-World
            model.set_classes(classes)
    except Exception as error:  # its text tower is a download of its own
        raise InputError(f"{path}: detector.classes: the text tower could not be loaded: {error}") from error
