"""Grades of image noise: by how much an image is spoiled, the same way every time for the same image.

clean            the image itself
gauss2500        Gaussian noise of variance 2500 in squared grey levels of 0..255, its own in every channel
iso30            sensor noise of intensity 0.30 and a tenth of that as colour shift (the published range: 10 to 50)
multiplicative10 every channel times a factor from 0.9..1.1
jpeg20           a JPEG of quality 20
blur5            mean over 5 x 5 pixels
lowres3          reduced to a third, then enlarged again
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

Image = NDArray[np.uint8]
LIMITS = {
    "clean": None, "gauss": (1, 20_000), "iso": (1, 100), "multiplicative": (1, 99), "jpeg": (1, 100),
    "blur": (1, 99), "lowres": (1, 32),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grade:
    """A kind of noise and how much of it."""

    kind: str
    level: int = 0

    @property
    def name(self) -> str:
        """As in settings and reports: `gauss2500`."""
        return self.kind if LIMITS[self.kind] is None else f"{self.kind}{self.level}"


def parse_grade(name: str) -> Grade:
    """`gauss2500` -> its kind and level; InputError for an unknown kind, or a level outside the kind's range."""
    found = re.fullmatch(r"([a-z]+)(\d+)?", name)
    kind, number = found.groups() if found else (name, None)
    if kind not in LIMITS:
        raise InputError(f"grade: {name!r} is none of {', '.join(_examples())}")
    limits = LIMITS[kind]
    if limits is None:
        if number is not None:
            raise InputError(f"grade: {name!r}: {kind} takes no number")
        return Grade(kind)
    if number is None or not limits[0] <= int(number) <= limits[1]:
        raise InputError(
            f"grade: {name!r}: {kind} needs a number from {limits[0]} to {limits[1]}, as in {kind}{limits[1]}"
        )
    if kind == "blur" and int(number) % 2 == 0:
        raise InputError(f"grade: {name!r}: a blur is an odd number of pixels wide")
    return Grade(kind, int(number))


def _examples() -> list[str]:
    return [kind if limits is None else f"{kind}N ({limits[0]} to {limits[1]})" for kind, limits in LIMITS.items()]


def content_seed(image: Image, kind: str, seed: int) -> int:
    """A seed out of an image's pixels, the kind of noise and the user's seed, but not the level.

    The same image thus gets the same noise wherever it lies, and two levels of one kind differ in strength only.
    """
    digest = hashlib.sha256(f"{kind} {seed} {image.shape}".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return int.from_bytes(digest.digest()[:8], "little")


def apply_grade(image: Image, grade: Grade, seed: int = 0) -> Image:
    """An (H, W, 3) uint8 RGB image spoiled by a grade, of the same shape."""
    rng = np.random.default_rng(content_seed(image, grade.kind, seed))
    return _KINDS[grade.kind](image, grade.level, rng)


def _clean(image: Image, level: int, rng: np.random.Generator) -> Image:
    return image.copy()


def _gauss(image: Image, level: int, rng: np.random.Generator) -> Image:
    # drawn afresh, not from the pools that training noise comes from: a model must not have met these very values
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(level**0.5)
    return np.clip(np.rint(noise + image), 0, 255).astype(np.uint8)


def _iso(image: Image, level: int, rng: np.random.Generator) -> Image:
    from data.augment.noise import add_iso_noise

    intensity = level / 100
    return add_iso_noise(image, intensity / 10, intensity, rng)


def _multiplicative(image: Image, level: int, rng: np.random.Generator) -> Image:
    factors = rng.uniform(1 - level / 100, 1 + level / 100, 3)
    return np.clip(np.rint(image * factors), 0, 255).astype(np.uint8)


def _jpeg(image: Image, level: int, rng: np.random.Generator) -> Image:
    from core.images import decode_image, encode_image

    return decode_image(encode_image(image, ".jpg", level), "jpeg")


def _blur(image: Image, level: int, rng: np.random.Generator) -> Image:
    return np.asarray(cv2.blur(image, (level, level), borderType=cv2.BORDER_REFLECT_101), np.uint8)


def _lowres(image: Image, level: int, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    small = (max(round(width / level), 1), max(round(height / level), 1))
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


_KINDS: dict[str, Callable[[Image, int, np.random.Generator], Image]] = {
    "clean": _clean, "gauss": _gauss, "iso": _iso, "multiplicative": _multiplicative, "jpeg": _jpeg, "blur": _blur,
    "lowres": _lowres,
}  # fmt: skip
