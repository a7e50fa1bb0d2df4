"""What a trained network must offer, whatever runs it: boxes and confidences for letterboxed inputs, before NMS."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.values import Candidates


class Network(Protocol):
    """A network on its device."""

    @property
    def digest(self) -> str:
        """SHA-256 of the weights file."""

    @property
    def stride(self) -> int:
        """Sides of the input are multiples of it."""

    @property
    def imgsz(self) -> int | tuple[int, int]:
        """The input size it was trained or exported at: a long side or (height, width)."""

    @property
    def fixed_shape(self) -> tuple[int, int] | None:
        """(height, width) when the network takes no other."""

    def predict(self, inputs: NDArray[np.uint8], floor: float, published_tta: bool = False) -> list[Candidates]:
        """(B, H, W, 3) RGB inputs -> per input the boxes in input pixels with confidence >= floor, before NMS.

        published_tta: Ultralytics' test-time augmentation, one set of boxes for its three scales; InputError where the
        network cannot.
        """


def above(boxes_xyxy: NDArray[np.floating], confidence: NDArray[np.floating], floor: float) -> Candidates:
    """The boxes with confidence >= floor, in the network's own order, as float32."""
    keep = confidence >= np.float32(floor)
    return Candidates(
        np.ascontiguousarray(boxes_xyxy[keep], dtype=np.float32), np.ascontiguousarray(confidence[keep], np.float32)
    )
