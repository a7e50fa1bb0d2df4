"""A crop as a model's input by one affine map: mirrored, turned, moved, enlarged and scaled in a single resample.

The same function makes the un-augmented crop, in training and in use: its geometry is then the default one.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

WARP = "warp"  # an image processor's `sampling` where crops reach its size by `warp` and not by its own resize


@dataclass(frozen=True)
class Geometry:
    """How an input lies over its box; the default is the box itself, its sides stretched to the input's."""

    rotation: float = 0.0  # degrees, of the image about the box's centre
    shift_x: float = 0.0  # of the content, in shares of the input's width
    shift_y: float = 0.0  # likewise of its height
    scale: float = 1.0  # of the content; above 1 the outer rim is lost
    pad: float = 0.0  # share of the box's sides that is added on each side
    mirrored: bool = False  # left and right exchanged, before all else


def warp(
    image: NDArray[np.uint8], box_xyxy: ArrayLike, size: tuple[int, int], geometry: Geometry | None = None
) -> NDArray[np.uint8]:
    """(H, W, 3) image, a box of its pixels -> (height, width, 3) of `size`; beyond the image its rim goes on.

    Bilinear; where a pixel of the result covers several of the box, whole numbers of them are averaged first.
    """
    geometry = geometry or Geometry()
    image, box = _reduced(image, np.asarray(box_xyxy, np.float64), size)
    height, width = size
    centre, sides = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * (1 + 2 * geometry.pad)
    angle = np.deg2rad(geometry.rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    sign = np.array([-1.0 if geometry.mirrored else 1.0, 1.0])
    # From the result's pixels to shares of it about its middle, to the box's sides, to the image.
    linear = turn @ np.diag(sides * sign / geometry.scale) @ np.diag([1 / width, 1 / height])
    middle = np.array([width, height]) * (0.5 + np.array([geometry.shift_x, geometry.shift_y]))
    offset = centre - 0.5 + linear @ (0.5 - middle)
    matrix = np.column_stack([linear, offset])
    made: NDArray[np.uint8] = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return made


def _reduced(
    image: NDArray[np.uint8], box: NDArray[np.float64], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The image and the box with whole pixels averaged, so that bilinear sampling leaves none of them out."""
    factors = [max(1, int((box[2] - box[0]) // size[1])), max(1, int((box[3] - box[1]) // size[0]))]
    if max(factors) == 1:
        return image, box
    whole = np.array([image.shape[1], image.shape[0]])
    fewer = -(-whole // factors)
    made = cv2.resize(image, (int(fewer[0]), int(fewer[1])), interpolation=cv2.INTER_AREA)
    return made, box * np.tile(fewer / whole, 2)  # type: ignore[return-value]
