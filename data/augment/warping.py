"""The step `warp` of a recipe: a random geometry of `core.warping`, drawn and applied at an image's own size."""

import random
from collections.abc import Mapping
from typing import Any

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from core.warping import Geometry, warp


def draw_geometry(settings: Mapping[str, Any], rng: random.Random) -> Geometry:
    """A geometry whose values are uniform within the step's settings; `flip` is the share that is mirrored."""
    return Geometry(
        rotation=rng.uniform(*settings["rotation"]),
        shift_x=rng.uniform(*settings["shift"]),
        shift_y=rng.uniform(*settings["shift"]),
        scale=rng.uniform(*settings["scale"]),
        pad=rng.uniform(*settings["pad"]),
        mirrored=rng.random() < settings["flip"],
    )


class Warp(A.ImageOnlyTransform):
    """`core.warping.warp` of a whole image onto its own size. The scorer's training warps crops before their resize."""

    class InitSchema(A.ImageOnlyTransform.InitSchema):
        rotation: tuple[float, float]
        shift: tuple[float, float]
        scale: tuple[float, float]
        pad: tuple[float, float]
        flip: float

    def __init__(
        self, rotation: tuple[float, float] = (-6.0, 6.0), shift: tuple[float, float] = (-0.03, 0.03),
        scale: tuple[float, float] = (0.95, 1.05), pad: tuple[float, float] = (0.0, 0.03), flip: float = 0.5,
        p: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__(p=p)
        self.rotation, self.shift, self.scale, self.pad = tuple(rotation), tuple(shift), tuple(scale), tuple(pad)
        self.flip = flip

    def get_params(self) -> dict[str, Any]:
        settings = {"rotation": self.rotation, "shift": self.shift, "scale": self.scale, "pad": self.pad}
        return {"geometry": draw_geometry({**settings, "flip": self.flip}, self.py_random)}

    def apply(self, img: NDArray[np.uint8], geometry: Geometry, **params: Any) -> NDArray[np.uint8]:
        return warp(img, [0, 0, img.shape[1], img.shape[0]], (img.shape[0], img.shape[1]), geometry)
