"""A user's transparent PNGs as targets, turned and scaled as the published generator did it."""

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.images import image_size
from data.scenes.targets import mask_box


def find_cutouts(folder: str | Path) -> dict[str, tuple[Path, ...]]:
    """The PNGs of a folder by caption: the file name with `_` for a space and its trailing number dropped.

    `red_and_white_helicopter_2.png` is a `red and white helicopter`. Raises InputError when there is none.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(Path(folder).glob("*.png")):
        caption = re.sub(r"\s*\d+$", "", path.stem.replace("_", " ")).strip().lower()
        found.setdefault(caption, []).append(path)
    if not found:
        raise InputError(f"{folder}: field 'cutouts': no .png file in this folder")
    return {caption: tuple(paths) for caption, paths in found.items()}


def read_cutout(path: Path) -> NDArray[np.uint8]:
    """(H, W, 4) uint8 RGBA, cut tight round its opaque part; InputError without transparency or anything to see."""
    image_size(path)  # the header's limits and messages
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        raise InputError(f"{path}: is not a PNG with transparency (four channels)")
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if not (image[..., 3] >= 24).any():
        raise InputError(f"{path}: is transparent everywhere")
    left, top, width, height = mask_box(image[..., 3])
    return cv2.cvtColor(image[top : top + height, left : left + width], cv2.COLOR_BGRA2RGBA)


def paste_size(size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """The published generator's size: one scale U(0.03, 0.10) of the image's width and of its height."""
    scale = rng.uniform(0.03, 0.10)
    return max(round(scale * size[0]), 1), max(round(scale * size[1]), 1)


def turn_cutout(
    image: NDArray[np.uint8], size: tuple[int, int], rng: np.random.Generator, *, tight_first: bool
) -> NDArray[np.uint8]:
    """Turn a cutout by U(-180, 180) degrees on a canvas that grows with it, and resize it to `size` (width, height).

    The canvas keeps the transparent corners, as published; with `tight_first` they are cut off before resizing, so
    that the object itself fills `size`. Returns (height, width, 4) uint8 RGBA.
    """
    angle = rng.uniform(-180, 180)
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    new_w, new_h = int(np.ceil(height * sin + width * cos)), int(np.ceil(height * cos + width * sin))
    matrix[:, 2] += (new_w - width) / 2, (new_h - height) / 2
    layers = _premultiplied(image)
    turned = cv2.warpAffine(layers, matrix, (new_w, new_h), flags=cv2.INTER_LINEAR)
    if tight_first:
        left, top, box_w, box_h = mask_box(np.clip(turned[..., 3], 0, 255).astype(np.uint8))
        turned = turned[top : top + box_h, left : left + box_w]
    small = cv2.resize(turned, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 4)
    small[..., :3] *= 255.0 / np.maximum(small[..., 3:], 1e-3)
    return np.clip(small, 0, 255).round().astype(np.uint8)


def _premultiplied(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    alpha = image[..., 3:].astype(np.float32)
    return np.concatenate([image[..., :3] * (alpha / 255), alpha], -1)
