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

from core import jpeg
from core.apart import Apart
from core.errors import InputError
from core.files import open_atomic, read_bytes

MAX_PIXELS = 100_000_000
DECODE_S = 10.0  # for one image of any format; beyond it is refused
SCANS_SETTING = "GROUNDER_JPEG_SCANS"  # environment variable, where no command says it
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

# Decoded here and now: formats whose time is bounded by their pixels, and so few of them that it takes no second.
_PLAIN = (b"\xff\xd8", b"\x89PNG", b"BM", b"RIFF")
_PLAIN_PIXELS = 2**25  # times passes over them
_PLAIN_BYTES = 2**25
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = {5, 6, 7, 8}  # EXIF orientations that exchange width and height


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Decode an image file to (H, W, 3) uint8 RGB with its EXIF rotation applied; InputError names the file."""
    return decode_image(read_bytes(path), str(path))


def decode_image(
    data: bytes, name: str, scans: int | None = None, limit_s: float = DECODE_S, setting: str = SCANS_SETTING
) -> NDArray[np.uint8]:
    """Decode an encoded image to (H, W, 3) uint8 RGB; 16 bit becomes 8, grey and CMYK become RGB, alpha is dropped.

    The header's size and a JPEG's scans and segments are checked before a pixel is decoded. What may take long is
    decoded in another process, which ends after `limit_s` seconds. Raises InputError naming `name`.

    scans: most scans of a JPEG; by default the environment's GROUNDER_JPEG_SCANS, else 100.
    setting: what a user would change to allow more of them, for the message.
    """
    width, height = _header_size(data, name, scans, setting)
    if _is_truncated(data):  # decoders fill the rest with grey and say nothing
        raise InputError(f"{name}: the image is truncated")
    passes = width * height * jpeg.most_passes(data)
    if data.startswith(_PLAIN) and passes <= _PLAIN_PIXELS and len(data) <= _PLAIN_BYTES:
        return decode_pixels(data, name)
    try:
        decoded: NDArray[np.uint8] = _decode_apart(data, name, limit_s=limit_s)
    except TimeoutError as error:
        raise InputError(f"{name}: cannot be decoded within {limit_s:g} s") from error
    except ChildProcessError as error:
        raise InputError(f"{name}: cannot be decoded as an image: {error}") from error
    return decoded


def decode_pixels(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode without any check before; (H, W, 3) uint8 RGB, or InputError naming `name`."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise InputError(f"{name}: cannot be decoded as an image: {error.err}") from error
    if image is None:
        raise InputError(f"{name}: cannot be decoded as an image (truncated or broken)")
    return image


_decode_apart = Apart("core.images:decode_pixels")


def _is_truncated(data: bytes) -> bool:
    """Whether a JPEG lacks its end marker after the last scan, or a PNG its last chunk."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and b"IEND" not in data[-64:]


def _header_size(data: bytes, name: str, scans: int | None = None, setting: str = SCANS_SETTING) -> tuple[int, int]:
    """(width, height) as shown, from the header alone."""
    if not data:
        raise InputError(f"{name}: is empty")
    too_much = jpeg.excess(data, setting, _scans_allowed() if scans is None else scans)
    if too_much is not None:
        raise InputError(f"{name}: {too_much}")
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


def _scans_allowed() -> int:
    given = os.environ.get(SCANS_SETTING, str(jpeg.SCANS))
    if not given.isdecimal():
        raise InputError(f"{SCANS_SETTING}: {given!r} in the environment is no number of scans")
    return int(given)


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
