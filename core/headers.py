"""What an image's first bytes say, before a pixel is decoded: its size as shown, how it is turned, if it is whole."""

import io
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from core import jpeg
from core.errors import InputError

PNG = b"\x89PNG\r\n\x1a\n"
CHUNKS = 100_000  # of a PNG; each costs a step of a loop here
_ORIENTATION = 0x0112  # the EXIF tag
_BITS_PER_SAMPLE = 258  # the TIFF tag
_SIDEWAYS = {5, 6, 7, 8}  # orientations that exchange width and height
_BY_DECODER = {"TIFF"}  # formats that both Pillow's header and OpenCV's pixels show turned already


@dataclass(frozen=True, slots=True)
class Header:
    """Of an encoded image: width and height in pixels as shown, and the EXIF orientation that is still to be applied.

    orientation: 1..8 (1: as stored) by CIPA DC-008, tag 274; 1 as well where the decoder turns the image itself.
    bits: of one value of a pixel.
    """

    width: int
    height: int
    orientation: int = 1
    bits: int = 8


def read_header(data: bytes, name: str) -> Header:
    """The header of an image in a format that Pillow knows; InputError names `name`."""
    previous, PillowImage.MAX_IMAGE_PIXELS = PillowImage.MAX_IMAGE_PIXELS, None  # our own limit, our own message
    try:
        with PillowImage.open(io.BytesIO(data)) as header:
            width, height = header.size
            orientation = 1 if header.format in _BY_DECODER else _orientation(header, data)
            bits = _bits(header, data)
    except Exception as error:  # Pillow's plugins raise anything from SyntaxError to struct.error on hostile headers
        raise InputError(f"{name}: is not an image in a known format") from error
    finally:
        PillowImage.MAX_IMAGE_PIXELS = previous
    width, height = (height, width) if orientation in _SIDEWAYS else (width, height)
    return Header(width, height, orientation, bits)


def _bits(header: PillowImage.Image, data: bytes) -> int:
    if data.startswith(PNG):
        return data[24]
    told = getattr(header, "tag_v2", {}).get(_BITS_PER_SAMPLE)
    if told is not None:
        return max(told) if isinstance(told, tuple) else int(told)
    return 8 if header.mode[0] not in "IF" else 16


def _orientation(header: PillowImage.Image, data: bytes) -> int:
    """By the EXIF block alone, in every format that carries one; a block that cannot be read turns nothing."""
    block = _png_exif(data) if data.startswith(PNG) else header.info.get("exif", b"")
    if not block:
        return 1
    exif = PillowImage.Exif()
    try:
        exif.load(block)
        found = exif.get(_ORIENTATION, 1)
    except Exception:  # as hostile as the rest
        return 1
    return found if found in range(1, 9) else 1


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """(H, W, ...) pixels as stored -> as shown; the eight orientations are those of EXIF."""
    if orientation in _SIDEWAYS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def is_truncated(data: bytes, name: str) -> bool:
    """Whether a JPEG or PNG ends before its own end; what follows that (a video, a trailer) does not count.

    Raises InputError for a PNG of more chunks than are looked at.
    """
    if data.startswith(jpeg.SOI):
        return not jpeg.has_end(data)
    return data.startswith(PNG) and not any(kind == b"IEND" for kind, _, _ in _png_chunks(data, name))


def _png_exif(data: bytes) -> bytes:
    """The first eXIf chunk, which may stand before or behind the pixels."""
    return next((data[start:end] for kind, start, end in _png_chunks(data, "the image") if kind == b"eXIf"), b"")


def _png_chunks(data: bytes, name: str) -> list[tuple[bytes, int, int]]:
    """(kind, start, end) of the contents of a PNG's whole chunks, to IEND."""
    found: list[tuple[bytes, int, int]] = []
    place = len(PNG)
    while place + 12 <= len(data) and not (found and found[-1][0] == b"IEND"):
        size, kind = struct.unpack_from(">I4s", data, place)
        if place + 12 + size > len(data):
            break
        if len(found) == CHUNKS:
            raise InputError(f"{name}: more than {CHUNKS} PNG chunks")
        found.append((kind, place + 8, place + 8 + size))
        place += 12 + size
    return found
