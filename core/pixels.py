"""How a box becomes a crop: the one rule for training crops, detected boxes and the server."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pixel_box(box_xyxy: ArrayLike, width: int, height: int) -> tuple[int, int, int, int]:
    """The whole pixels (left, top, right, bottom; right and bottom excluded) that stand for a box in its image.

    Edges are rounded to the nearest pixel border, halves to even, which is what Pillow's `Image.crop` does and so what
    the published system did; then cut to the image. A side that vanishes becomes the one pixel nearest to the box, so
    a crop is never empty. Raises ValueError for a box that is not four finite numbers.
    """
    edges = [float(v) for v in np.asarray(box_xyxy, np.float64).reshape(-1)]
    if len(edges) != 4 or not all(math.isfinite(v) for v in edges):
        raise ValueError(f"not a box of four finite numbers: {edges}")
    left, right = _span(edges[0], edges[2], width)
    top, bottom = _span(edges[1], edges[3], height)
    return left, top, right, bottom


def _span(start: float, end: float, size: int) -> tuple[int, int]:
    first, last = (min(max(round(v), 0), size) for v in (start, end))
    if last > first:
        return first, last
    nearest = min(max(math.floor((start + end) / 2), 0), size - 1)
    return nearest, nearest + 1


def crop_box(image: NDArray[np.uint8], box_xyxy: ArrayLike) -> NDArray[np.uint8]:
    """The part of an (H, W, 3) image within a box of pixels, as a contiguous copy of at least 1 x 1 pixel.

    The rule is `pixel_box`'s.
    """
    left, top, right, bottom = pixel_box(box_xyxy, image.shape[1], image.shape[0])
    return image[top:bottom, left:right].copy()
