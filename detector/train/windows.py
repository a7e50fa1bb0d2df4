"""Windows of images to train on, and the shape that training images take; for both trainers."""

import math
import random
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_VISIBLE = 0.1  # share of a box that a window must show for the box to count there


def rectangle_of(images_hw: list[tuple[int, int]], imgsz: int, stride: int) -> tuple[int, int] | None:
    """(height, width) that holds every image scaled to long side `imgsz`, sides rounded up to `stride`.

    None when the images do not share one shape.
    """
    shapes = set(images_hw)
    if len(shapes) != 1:
        return None
    height, width = shapes.pop()
    gain = imgsz / max(height, width)
    scaled = (min(int(np.ceil(side * gain)), imgsz) for side in (height, width))
    rounded = [int(np.ceil(side / stride)) * stride for side in scaled]
    return rounded[0], rounded[1]


def random_window(
    width: int, height: int, crop: tuple[int, int], boxes: NDArray[np.floating], rng: random.Random | None = None
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a crop of (width, height), or as much of it as the image has.

    Half of them lie anywhere; the others hold the centre of one of the image's normalised centre boxes, so that a
    detector of few and small targets does not see empty ground alone. rng: default Python's global stream.
    """
    draw: Any = rng or random
    crop_w, crop_h = min(crop[0], width), min(crop[1], height)
    least_x, most_x, least_y, most_y = 0, width - crop_w, 0, height - crop_h
    if len(boxes) and draw.random() < 0.5:
        x, y = boxes[draw.randrange(len(boxes)), :2] * [width, height]
        least_x, most_x = max(0, math.ceil(x) - crop_w), min(most_x, math.floor(x))
        least_y, most_y = max(0, math.ceil(y) - crop_h), min(most_y, math.floor(y))
    left, top = draw.randint(min(least_x, most_x), most_x), draw.randint(min(least_y, most_y), most_y)
    return left, top, left + crop_w, top + crop_h


def boxes_in_window(
    boxes: NDArray[np.floating], width: int, height: int, window: tuple[int, int, int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Normalised centre boxes of an image -> those of a window of it, and which boxes they are.

    A box counts when at least LEAST_VISIBLE of its area is inside (sahi's own rule for sliced labels), and is cut.
    """
    scale = np.asarray([width, height, width, height], np.float64)
    centre, size = boxes[:, :2] * scale[:2], boxes[:, 2:] * scale[2:]
    corners = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    left, top, right, bottom = window
    cut = corners.clip([left, top, left, top], [right, bottom, right, bottom]) - [left, top, left, top]
    visible = (cut[:, 2] - cut[:, 0]) * (cut[:, 3] - cut[:, 1])
    inside = visible >= np.maximum(LEAST_VISIBLE * size[:, 0] * size[:, 1], 1e-9)
    cut = cut[inside]
    result = np.concatenate([(cut[:, :2] + cut[:, 2:]) / 2, cut[:, 2:] - cut[:, :2]], axis=1)
    extent = [right - left, bottom - top, right - left, bottom - top]
    return (result / extent).astype(np.float32), inside
