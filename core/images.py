"""Decode an image to RGB uint8 (H, W, 3), whatever the file held, and never more pixels than allowed."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# OpenCV reads this once, when it loads; the header check below, whose limit is a setting, refuses large files before.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**32))

import cv2
import numpy as np
from numpy.typing import NDArray

from core import jpeg
from core.apart import Apart
from core.decoding import MAX_PIXELS, PIXELS_SETTING, PIXELS_VARIABLE, is_stretched, max_pixels
from core.errors import InputError
from core.files import open_atomic, read_bytes
from core.headers import Header, is_truncated, read_header, upright

DECODE_S = 10.0  # for one image of any format up to MAX_PIXELS, in proportion for larger ones; beyond it is refused
SCANS_SETTING = "GROUNDER_JPEG_SCANS"  # environment variable, where no command says it

# Decoded here and now: formats whose time is bounded by their pixels, and so few of them that it takes no second.
_PLAIN = (b"\xff\xd8", b"\x89PNG", b"BM", b"RIFF")
_PLAIN_PIXELS = 2**25  # times passes over them
_PLAIN_BYTES = 2**25


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Decode an image file to (H, W, 3) uint8 RGB with its EXIF rotation applied; InputError names the file."""
    return decode_image(read_bytes(path), str(path))


def decode_image(
    data: bytes, name: str, scans: int | None = None, limit_s: float | None = None, setting: str = SCANS_SETTING
) -> NDArray[np.uint8]:
    """Decode an encoded image to (H, W, 3) uint8 RGB as it is shown; grey and CMYK become RGB, alpha is dropped.

    Of pixels of more than 8 bits the high byte stays, or their range is stretched (`core.decoding`). The header's size
    and a JPEG's scans and segments are checked before a pixel is decoded. What may take long is decoded in another
    process, which ends after `limit_s` seconds (default DECODE_S). Raises InputError naming `name`.

    scans: most scans of a JPEG; by default the environment's GROUNDER_JPEG_SCANS, else 100.
    setting: what a user would change to allow more of them, for the message.
    """
    header = _checked_header(data, name, scans, setting)
    if is_truncated(data, name):  # decoders fill the rest with grey and say nothing
        raise InputError(f"{name}: the image is truncated")
    pixels, stretch = header.width * header.height, is_stretched()
    passes = pixels * jpeg.most_passes(data)
    if data.startswith(_PLAIN) and passes <= _PLAIN_PIXELS and len(data) <= _PLAIN_BYTES:
        return decode_pixels(data, name, header.orientation, stretch)
    limit_s = DECODE_S * max(1.0, pixels / MAX_PIXELS) if limit_s is None else limit_s
    try:
        decoded: NDArray[np.uint8] = _decode_apart(data, name, header.orientation, stretch, limit_s=limit_s)
    except TimeoutError as error:
        raise InputError(f"{name}: cannot be decoded within {limit_s:g} s") from error
    except ChildProcessError as error:
        raise InputError(f"{name}: cannot be decoded as an image: {error}") from error
    return decoded


def decode_pixels(data: bytes, name: str, orientation: int = 1, stretch: bool = False) -> NDArray[np.uint8]:
    """Decode without any check before, and turn upright; (H, W, 3) uint8 RGB, or InputError naming `name`."""
    turned = cv2.IMREAD_IGNORE_ORIENTATION  # by the header, so that pixels and size cannot disagree
    image = _decoded(data, name, cv2.IMREAD_COLOR_RGB | turned | (cv2.IMREAD_ANYDEPTH if stretch else 0))
    if image.dtype != np.uint8:
        image = stretched(image)
    return upright(image, orientation)


def _decoded(data: bytes, name: str, flags: int) -> Any:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise InputError(f"{name}: cannot be decoded as an image: {error.err}") from error
    if image is None:
        raise InputError(f"{name}: cannot be decoded as an image (truncated or broken)")
    return image


def stretched(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels of any depth -> uint8, the image's lowest value 0 and its highest 255; a plain image is 0."""
    finite = np.nan_to_num(image.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    return np.rint((finite - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)


def deep_levels(data: bytes, name: str) -> tuple[float, int] | None:
    """Of an image deeper than 8 bits: the share of its type's range that it uses, and how many levels it has.

    None for 8 bits and for fractions, which have no range. The image must have been decoded before: it is no bomb.
    """
    if read_header(data, name).bits <= 8:
        return None
    image = _decoded(data, name, cv2.IMREAD_UNCHANGED)
    if image.dtype.kind != "u" or image.dtype == np.uint8:
        return None
    values = np.unique(image)
    return (int(values[-1]) - int(values[0]) + 1) / 2 ** (8 * image.dtype.itemsize), len(values)


_decode_apart = Apart("core.images:decode_pixels")


def _checked_header(data: bytes, name: str, scans: int | None = None, setting: str = SCANS_SETTING) -> Header:
    """The header, within the limits."""
    if not data:
        raise InputError(f"{name}: is empty")
    too_much = jpeg.excess(data, setting, _scans_allowed() if scans is None else scans)
    if too_much is not None:
        raise InputError(f"{name}: {too_much}")
    header, most = read_header(data, name), max_pixels()
    if header.width * header.height > most:
        raise InputError(
            f"{name}: {header.width} x {header.height} pixels are more than the limit of {most}, which "
            f"{PIXELS_SETTING} or {PIXELS_VARIABLE} in the environment sets"
        )
    return header


def _scans_allowed() -> int:
    given = os.environ.get(SCANS_SETTING, str(jpeg.SCANS))
    if not given.isdecimal():
        raise InputError(f"{SCANS_SETTING}: {given!r} in the environment is no number of scans")
    return int(given)


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(width, height) of an image file as `read_image` would give it, by its header; InputError for a truncated one."""
    data = read_bytes(path)
    header = _checked_header(data, str(path))
    if is_truncated(data, str(path)):
        raise InputError(f"{path}: the image is truncated")
    return header.width, header.height


def encode_image(image: NDArray[np.uint8], suffix: str, quality: int = 95) -> bytes:
    """Encode (H, W, 3) RGB as the format of `suffix` (`.png`, `.jpg`, ...); `quality` 1..100 counts for JPEG only."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix.lower() in {".jpg", ".jpeg"} else []
    try:
        done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), parameters)
    except cv2.error as error:
        raise InputError(f"{suffix}: no encoder for this image format") from error
    if not done:
        raise InputError(f"{suffix}: no encoder for this image format")
    return data.tobytes()


def contact_sheet(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images of one size, (H, W, 3) each, row by row in a grid about as wide as high; what is left over is black."""
    columns = int(np.ceil(np.sqrt(len(images))))
    cells = [*images, *[np.zeros_like(images[0])] * (-len(images) % columns)]
    rows = [np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)]
    return np.concatenate(rows)


def write_image(path: str | os.PathLike[str], image: NDArray[np.uint8], quality: int = 95) -> None:
    """Write (H, W, 3) RGB to `path` atomically, in the format its suffix names."""
    data = encode_image(image, Path(path).suffix, quality)
    with open_atomic(path) as stream:
        stream.write(data)
