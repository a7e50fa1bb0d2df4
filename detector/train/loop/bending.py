"""Affine maps of images and their boxes, and changes of colour."""

import math
import random

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.inference.letterbox import FILL
from detector.train.loop.settings import LoopSettings

LEAST_VISIBLE = 0.1  # share of a box's mapped area that must be left inside
LEAST_SIDE = 2.0  # px


def draw_affine(
    canvas_hw: tuple[int, int], shape_hw: tuple[int, int], rng: random.Random, settings: LoopSettings
) -> NDArray[np.float64]:
    """(3, 3) from the canvas's pixels to those of (height, width): turned, scaled, sheared and moved at random."""
    centre, turned, sheared, moved = (np.eye(3) for _ in range(4))
    centre[:2, 2] = -canvas_hw[1] / 2, -canvas_hw[0] / 2
    angle = rng.uniform(-settings.degrees, settings.degrees)
    gain = rng.uniform(1 - settings.scale, 1 + settings.scale)
    turned[:2] = cv2.getRotationMatrix2D((0.0, 0.0), angle, gain)
    sheared[0, 1], sheared[1, 0] = (
        math.tan(math.radians(rng.uniform(-settings.shear, settings.shear))) for _ in range(2)
    )
    shares = [0.5 + rng.uniform(-settings.translate, settings.translate) for _ in range(2)]
    moved[:2, 2] = shares[0] * shape_hw[1], shares[1] * shape_hw[0]
    return np.asarray(moved @ sheared @ turned @ centre, np.float64)


def affine(
    image: NDArray[np.uint8], boxes: NDArray[np.float32], matrix: NDArray[np.float64], shape_hw: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The image and its boxes through the map, cut to (height, width); boxes hardly visible are left out.

    A turned box becomes the upright one about its four corners.
    """
    height, width = shape_hw
    if not np.array_equal(matrix, np.eye(3)) or image.shape[:2] != shape_hw:
        image = np.asarray(cv2.warpAffine(image, matrix[:2], (width, height), borderValue=(FILL,) * 3), np.uint8)
    corners = np.ones((len(boxes), 4, 3))
    corners[..., :2] = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    mapped = corners @ matrix.T
    whole = np.concatenate([mapped[..., :2].min(1), mapped[..., :2].max(1)], 1).reshape(-1, 4)
    cut = whole.clip(0, [width, height, width, height])
    areas = [(b[:, 2:] - b[:, :2]).clip(0).prod(1) for b in (whole, cut)]
    kept = (areas[1] > LEAST_VISIBLE * areas[0]) & (cut[:, 2:] - cut[:, :2] > LEAST_SIDE).all(1)
    return image, cut[kept].astype(np.float32)


def shift_colours(image: NDArray[np.uint8], rng: random.Random, settings: LoopSettings) -> NDArray[np.uint8]:
    """An RGB image with hue, saturation and brightness multiplied at random."""
    gains = [1 + rng.uniform(-1, 1) * g for g in (settings.hsv_h, settings.hsv_s, settings.hsv_v)]
    if gains == [1, 1, 1]:
        return image
    hue, saturation, value = cv2.split(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV))
    steps = np.arange(256)
    tables = [(steps * gains[0] % 180), (steps * gains[1]).clip(0, 255), (steps * gains[2]).clip(0, 255)]
    parts = [cv2.LUT(c, t.astype(np.uint8)) for c, t in zip((hue, saturation, value), tables, strict=True)]
    return np.asarray(cv2.cvtColor(cv2.merge(parts), cv2.COLOR_HSV2RGB), np.uint8)
