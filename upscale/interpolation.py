"""Enlarging crops by interpolation, or not at all."""

from collections.abc import Sequence

import cv2

from core.files import sha256_bytes
from core.stages import Image


class Interpolator:
    """Lanczos enlargement (8x8 kernel) of crops of at most `largest_pixels`; scale 1 leaves every crop as it is."""

    batched = False

    def __init__(self, scale: int, largest_pixels: int) -> None:
        self.scale, self._largest = scale, largest_pixels
        self.policy = "none" if scale == 1 else f"lanczos x{scale}"
        self.key = sha256_bytes((self.policy if scale == 1 else f"{self.policy} {largest_pixels}").encode())[:16]

    def upscale(self, crops: Sequence[Image]) -> list[Image]:
        """Each crop enlarged."""
        return [crop if self.scale == 1 or _area(crop) > self._largest else self._one(crop) for crop in crops]

    def _one(self, crop: Image) -> Image:
        enlarged = cv2.resize(crop, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_LANCZOS4)
        return enlarged.reshape(crop.shape[0] * self.scale, crop.shape[1] * self.scale, 3)


def _area(crop: Image) -> int:
    return crop.shape[0] * crop.shape[1]
