"""Sensor noise over whole scenes: the two renderings of the published system's own test images.

The published generator names the operations (Gaussian noise of variance up to 500, ISO noise, channel gains, CLAHE,
brightness and contrast, gamma, JPEG from quality 75) but not their probabilities. Our reading: `v1` applies every
operation to every image; `v2`, which its author found nearer the leaderboard's images, has the three noises in
every image and the rest as often as the training lists do.
"""

from functools import lru_cache
from typing import Any

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from data.augment import build_recipe
from data.recipe import RecipeConfig

_OPERATIONS: tuple[dict[str, Any], ...] = (
    {"op": "gauss_noise", "variance": [0, 500]},
    {"op": "iso_noise"},
    {"op": "multiplicative_noise"},
    {"op": "clahe"},
    {"op": "brightness_contrast"},
    {"op": "gamma"},
    {"op": "compression", "quality": [75, 100]},
)
_PROBABILITIES = {"v1": (1, 1, 1, 1, 1, 1, 1), "v2": (1, 1, 1, 0.1, 0.5, 0.2, 0.5)}


def rendering(name: str) -> RecipeConfig:
    """The recipe of a published rendering, `v1` or `v2`."""
    steps = [{**step, "p": p} for step, p in zip(_OPERATIONS, _PROBABILITIES[name], strict=True)]
    return RecipeConfig(name=f"sensor_{name}", steps=steps)


@lru_cache(maxsize=2)
def _sensor(name: str) -> A.Compose:
    return build_recipe(rendering(name))


def add_sensor_noise(image: NDArray[np.uint8], name: str, seed: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB through the sensor `v1` or `v2`; the same seed gives the same image."""
    sensor = _sensor(name)
    sensor.set_random_seed(seed)
    return sensor(image=image)["image"]
