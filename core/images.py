"""Decode an image to RGB uint8 (H, W, 3), whatever the file held, and never more pixels than allowed."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

# OpenCV reads this once, when it loads; the header check below refuses large files before that matters.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**28))

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from core.errors import InputError
from core.files import open_atomic, read_bytes

MAX_PIXELS = 100_000_000
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = {5, 6, 7, 8}  # EXIF orientations that exchange width and height


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Decode an image file to (H, W, 3) uint8 RGB with its EXIF rotation applied; InputError names the file."""
    return decode_image(read_bytes(path), str(path))


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an encoded image to (H, W, 3) uint8 RGB; 16 bit becomes 8, grey and CMYK become RGB, alpha is dropped.

    The header's size is checked before a pixel is decoded. Raises InputError naming `name`.
    """
    _header_size(data, name)
    if _is_truncated(data):  # decoders fill the rest with grey and say nothing
        raise InputError(f"{name}: the image is truncated")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise InputError(f"{name}: cannot be decoded as an image: {error.err}") from error
    if image is None:
        raise InputError(f"{name}: cannot be decoded as an image (truncated or broken)")
    return image


def _is_truncated(data: bytes) -> bool:
    """Whether a JPEG lacks its end marker after the last scan, or a PNG its last chunk."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and b"IEND" not in data[-64:]


def _header_size(data: bytes, name: str) -> tuple[int, int]:
    """(width, height) as shown, from the header alone."""
    if not data:
        raise InputError(f"{name}: is empty")
    previous, PillowImage.MAX_IMAGE_PIXELS = PillowImage.MAX_IMAGE_PIXELS, None  # our own limit, our own message
    try:
        with PillowImage.open(io.BytesIO(data)) as header:
            width, height = header.size
            orientation = header.getexif().get(_EXIF_ORIENTATION, 1) if header.format in {"JPEG", "TIFF"} else 1
    except Exception as error:  # Pillow's plugins raise anything from SyntaxError to struct.error on hostile headers
        raise InputError(f"{name}: is not an image in a known format") from error
    finally:
        PillowImage.MAX_IMAGE_PIXELS = previous
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {width} x {height} pixels are more than the limit of {MAX_PIXELS}")
    return (height, width) if orientation in _SIDEWAYS else (width, height)


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(width, height) of an image file as `read_image` would give it, from its header alone."""
    return _header_size(read_bytes(path), str(path))


def encode_image(image: NDArray[np.uint8], suffix: str, quality: int = 95) -> bytes:
    """Encode (H, W, 3) RGB as the format of `suffix` (`.png`, `.jpg`, ...); `quality` 1..100 counts for JPEG only."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix.lower() in {".jpg", ".jpeg"} else []
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), parameters)
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
