"""Box arithmetic on plain arrays; boxes are float pixels of the named image.

`xyxy` is left, top, right, bottom; `ltwh` (left, top, width, height) exists only in files and on the wire.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def _as_boxes(boxes: ArrayLike) -> NDArray[np.floating]:
    array = np.asarray(boxes)
    if not np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float64)
    return array.reshape(0, 4) if array.size == 0 else array


def ltwh_to_xyxy(boxes_ltwh: ArrayLike) -> NDArray[np.floating]:
    """(..., 4) left, top, width, height -> left, top, right, bottom, in the input's float type."""
    boxes = _as_boxes(boxes_ltwh)
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def xyxy_to_ltwh(boxes_xyxy: ArrayLike) -> NDArray[np.floating]:
    """(..., 4) left, top, right, bottom -> left, top, width, height, in the input's float type."""
    boxes = _as_boxes(boxes_xyxy)
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)


def box_area(boxes_xyxy: ArrayLike) -> NDArray[np.floating]:
    """(..., 4) boxes -> (...) areas in square pixels; a reversed box has area 0."""
    boxes = _as_boxes(boxes_xyxy)
    return np.clip(boxes[..., 2] - boxes[..., 0], 0, None) * np.clip(boxes[..., 3] - boxes[..., 1], 0, None)


def clip_xyxy(boxes_xyxy: ArrayLike, width: float, height: float) -> NDArray[np.floating]:
    """(..., 4) boxes cut to the image's frame; a box wholly outside becomes one without area."""
    boxes = _as_boxes(boxes_xyxy)
    return np.clip(boxes, 0, np.asarray([width, height, width, height], boxes.dtype))


def intersection_matrix(a_xyxy: ArrayLike, b_xyxy: ArrayLike) -> NDArray[np.float64]:
    """(A, 4) and (B, 4) boxes -> (A, B) areas of overlap in square pixels, float64."""
    a = _as_boxes(a_xyxy).astype(np.float64)
    b = _as_boxes(b_xyxy).astype(np.float64)
    overlap_w = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    overlap_h = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    return np.clip(overlap_w, 0, None) * np.clip(overlap_h, 0, None)


def iou_matrix(a_xyxy: ArrayLike, b_xyxy: ArrayLike) -> NDArray[np.float64]:
    """(A, 4) and (B, 4) boxes -> (A, B) intersection over union, float64; 0 where both boxes have no area."""
    intersection = intersection_matrix(a_xyxy, b_xyxy)
    a_area = box_area(_as_boxes(a_xyxy).astype(np.float64))
    b_area = box_area(_as_boxes(b_xyxy).astype(np.float64))
    union = a_area[:, None] + b_area[None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
