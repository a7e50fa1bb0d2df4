"""How a box becomes a crop: the one rule for training crops, detected boxes, sweeps and the server."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pixel_boxes(boxes_xyxy: ArrayLike, width: int, height: int) -> NDArray[np.int32]:
    """(N, 4) the whole pixels (left, top, right, bottom; right and bottom excluded) that stand for boxes of an image.

    Edges are rounded to the nearest pixel border, halves to even, which is what Pillow's `Image.crop` does and so what
    the published system did; then cut to the image. A side that vanishes becomes the one pixel nearest to the box, so
    a crop is never empty. Raises ValueError for a box that is not four finite numbers.
    """
    boxes = np.asarray(boxes_xyxy, np.float64)
    if boxes.size % 4 or not np.isfinite(boxes).all():
        raise ValueError(f"not a box of four finite numbers each: {boxes.tolist()}")
    boxes = boxes.reshape(-1, 4)
    (left, right), (top, bottom) = _spans(boxes[:, 0], boxes[:, 2], width), _spans(boxes[:, 1], boxes[:, 3], height)
    return np.stack([left, top, right, bottom], axis=1).astype(np.int32)


def _spans(
    start: NDArray[np.float64], end: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, last = np.clip(np.rint(start), 0, size), np.clip(np.rint(end), 0, size)
    nearest = np.clip(np.floor((start + end) / 2), 0, size - 1)
    return np.where(last > first, first, nearest), np.where(last > first, last, nearest + 1)


def pixel_box(box_xyxy: ArrayLike, width: int, height: int) -> tuple[int, int, int, int]:
    """The whole pixels of one box; the rule is `pixel_boxes`'s."""
    left, top, right, bottom = pixel_boxes(np.reshape(np.asarray(box_xyxy, np.float64), (1, -1)), width, height)[0]
    return int(left), int(top), int(right), int(bottom)


def crop_box(image: NDArray[np.uint8], box_xyxy: ArrayLike) -> NDArray[np.uint8]:
    """The part of an (H, W, 3) image within a box of pixels, as a contiguous copy of at least 1 x 1 pixel.

    The rule is `pixel_boxes`'s.
    """
    left, top, right, bottom = pixel_box(box_xyxy, image.shape[1], image.shape[0])
    return image[top:bottom, left:right].copy()
