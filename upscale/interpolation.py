"""Enlarging crops by interpolation, or not at all."""

from collections.abc import Sequence

import cv2

from core.files import sha256_bytes
from core.stages import Image
from upscale.settings import UpscaleMethod

KERNELS = {UpscaleMethod.nearest: cv2.INTER_NEAREST, UpscaleMethod.lanczos: cv2.INTER_LANCZOS4}


class Interpolator:
    """Enlargement of crops of at most `largest_pixels` by repeating pixels or by Lanczos (8x8 kernel).

    The method none leaves every crop as it is, and so does scale 1.
    """

    batched = False

    def __init__(self, method: UpscaleMethod, scale: int, largest_pixels: int) -> None:
        self.scale = 1 if method is UpscaleMethod.none else scale
        self._largest, self._method = largest_pixels, method
        self.policy = "none" if self.scale == 1 else f"{method.name} x{self.scale}"
        self.key = sha256_bytes((self.policy if self.scale == 1 else f"{self.policy} {largest_pixels}").encode())[:16]

    def upscale(self, crops: Sequence[Image]) -> list[Image]:
        """Each crop enlarged."""
        return [crop if self.scale == 1 or _area(crop) > self._largest else self._one(crop) for crop in crops]

    def _one(self, crop: Image) -> Image:
        enlarged = cv2.resize(crop, None, fx=self.scale, fy=self.scale, interpolation=KERNELS[self._method])
        return enlarged.reshape(crop.shape[0] * self.scale, crop.shape[1] * self.scale, 3)


def _area(crop: Image) -> int:
    return crop.shape[0] * crop.shape[1]
