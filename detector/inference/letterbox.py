"""Images into a network's input and boxes back out: the letterbox of Ultralytics and of Meituan's YOLOv6."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FILL = 114  # the grey both projects pad with


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where an image lies in the network's input: scaled by `gain`, then shifted by (left, top) pixels."""

    gain: float
    left: int
    top: int

    def undo(self, boxes_xyxy: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, 4) boxes in input pixels -> float64 boxes in the image's pixels, not clipped."""
        shift = np.asarray([self.left, self.top, self.left, self.top], np.float64)
        return (boxes_xyxy.astype(np.float64) - shift) / self.gain


def input_shape(image_hw: tuple[int, int], imgsz: int | tuple[int, int], stride: int) -> tuple[int, int]:
    """(height, width) of the input: the smallest multiples of `stride` that hold the image with long side `imgsz`.

    A pair `imgsz` is (height, width) and taken as it is. Sizes are rounded up to the stride first, as Ultralytics does.
    """
    if isinstance(imgsz, tuple):
        return _round_up(imgsz[0], stride), _round_up(imgsz[1], stride)
    gain = _round_up(imgsz, stride) / max(image_hw)
    return _round_up(round(image_hw[0] * gain), stride), _round_up(round(image_hw[1] * gain), stride)


def _round_up(length: float, stride: int) -> int:
    return max(stride, math.ceil(length / stride) * stride)


def letterbox(image: NDArray[np.uint8], shape_hw: tuple[int, int]) -> tuple[NDArray[np.uint8], Letterbox]:
    """Scale an (H, W, 3) image to fit (height, width), centre it on grey; returns the input and how to undo it."""
    height, width = image.shape[:2]
    gain = min(shape_hw[0] / height, shape_hw[1] / width)
    scaled_w, scaled_h = max(1, round(width * gain)), max(1, round(height * gain))
    if (scaled_h, scaled_w) != (height, width):
        image = cv2.resize(image, (scaled_w, scaled_h), interpolation=cv2.INTER_LINEAR)
    pad_w, pad_h = (shape_hw[1] - scaled_w) / 2, (shape_hw[0] - scaled_h) / 2
    top, left = round(pad_h - 0.1), round(pad_w - 0.1)
    filled = np.full((*shape_hw, 3), FILL, np.uint8)
    filled[top : top + scaled_h, left : left + scaled_w] = image
    return filled, Letterbox(gain, left, top)
