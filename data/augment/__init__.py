"""Augmentation transforms that both trainers share, and the recipes made of them.

`build_recipe` gives an `A.Compose` for RGB uint8 images; `detector_transforms` gives the list that goes into
ultralytics' `augmentations=` argument, which hands its images over as BGR. Importing this module registers our
transforms with albumentations, so that `A.from_dict` (and through it a stock `YOLO()`) can rebuild them.
"""

import os
import random
from collections.abc import Callable
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or importing it asks the network for a newer version

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from data.augment.median import median7
from data.augment.noise import add_gauss_noise, add_iso_noise
from data.augment.warping import Warp
from data.recipe import RecipeConfig, Step, check_steps

Image = NDArray[np.uint8]
_MEDIAN_PAYS = 20_000  # pixels from which our 7 x 7 median beats OpenCV's


class GaussNoise2024(A.ImageOnlyTransform):
    """Gaussian noise whose variance (not sigma) is uniform in `variance`, in squared grey levels of 0..255."""

    class InitSchema(A.ImageOnlyTransform.InitSchema):
        variance: tuple[float, float]
        per_channel: bool

    def __init__(self, variance: tuple[float, float] = (10.0, 50.0), per_channel: bool = True, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.variance = tuple(variance)
        self.per_channel = per_channel

    def get_params(self) -> dict[str, Any]:
        return {"sigma": self.py_random.uniform(*self.variance) ** 0.5, "seed": self.py_random.getrandbits(63)}

    def apply(self, img: Image, sigma: float, seed: int, **params: Any) -> Image:
        return add_gauss_noise(img, sigma, np.random.default_rng(seed), self.per_channel)


class IsoNoise2024(A.ImageOnlyTransform):
    """Sensor noise in HLS as in mid-2024: hue jitter in degrees and Poisson luminance noise on the 255 scale; RGB."""

    class InitSchema(A.ImageOnlyTransform.InitSchema):
        color_shift: tuple[float, float]
        intensity: tuple[float, float]

    def __init__(
        self,
        color_shift: tuple[float, float] = (0.01, 0.05),
        intensity: tuple[float, float] = (0.1, 0.5),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.color_shift = tuple(color_shift)
        self.intensity = tuple(intensity)

    def get_params(self) -> dict[str, Any]:
        return {
            "color_shift": self.py_random.uniform(*self.color_shift),
            "intensity": self.py_random.uniform(*self.intensity),
            "seed": self.py_random.getrandbits(63),
        }

    def apply(self, img: Image, color_shift: float, intensity: float, seed: int, **params: Any) -> Image:
        return add_iso_noise(img, color_shift, intensity, np.random.default_rng(seed))


class ChannelGain(A.ImageOnlyTransform):
    """Each channel multiplied by its own factor, uniform in `multiplier`: mid-2024's MultiplicativeNoise."""

    class InitSchema(A.ImageOnlyTransform.InitSchema):
        multiplier: tuple[float, float]

    def __init__(self, multiplier: tuple[float, float] = (0.9, 1.1), p: float = 0.5) -> None:
        super().__init__(p=p)
        self.multiplier = tuple(multiplier)

    def get_params(self) -> dict[str, Any]:
        return {"factors": [self.py_random.uniform(*self.multiplier) for _ in range(3)]}

    def apply(self, img: Image, factors: list[float], **params: Any) -> Image:
        levels = np.arange(256.0)[:, None] * np.array(factors)
        return cv2.LUT(img, np.clip(levels, 0, 255).round().astype(np.uint8)[None])


class JpegCompression(A.ImageOnlyTransform):
    """The image after a JPEG of a quality drawn from the whole numbers `quality` (low, high), both included."""

    class InitSchema(A.ImageOnlyTransform.InitSchema):
        quality: tuple[int, int]

    def __init__(self, quality: tuple[int, int] = (99, 100), p: float = 0.5) -> None:
        super().__init__(p=p)
        self.quality = tuple(quality)

    def get_params(self) -> dict[str, Any]:
        return {"quality": self.py_random.randint(*self.quality)}

    def apply(self, img: Image, quality: int, **params: Any) -> Image:
        # The colour conversion to YCbCr is part of JPEG: encoding takes BGR, so the codec must be told what is red.
        done, data = cv2.imencode(".jpg", cv2.cvtColor(img, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not done:
            raise ValueError(f"no JPEG of quality {quality}")
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


class MedianBlur2024(A.MedianBlur):
    """The median of k x k neighbourhoods, k odd and equally likely within `blur_limit`; 7 x 7 by our faster network."""

    def apply(self, img: Image, kernel: int, **params: Any) -> Image:
        if kernel == 7 and img.shape[0] * img.shape[1] >= _MEDIAN_PAYS:
            return median7(np.ascontiguousarray(img))
        return super().apply(img, kernel, **params)


class SwapRedBlue(A.ImageOnlyTransform):
    """BGR to RGB or back; always applied, and without drawing a number, so that both orders share one stream."""

    def __init__(self, p: float = 1.0) -> None:
        super().__init__(p=p)

    def should_apply(self, force_apply: bool = False) -> bool:
        """Always."""
        return True

    def apply(self, img: Image, **params: Any) -> Image:
        return cv2.cvtColor(img, cv2.COLOR_BGR2RGB)


class Recipe(A.Sequential):
    """A sequence whose transforms draw from one random stream.

    Albumentations gives every transform a stream of its own from the same seed, so that two transforms of equal
    probability would fire together; ultralytics seeds it that way in every worker. The published recipes drew from
    one global stream.
    """

    def set_random_seed(self, seed: int | None) -> None:
        """Seed the stream that all transforms of the recipe share."""
        self.seed = seed
        self.set_random_state(np.random.default_rng(seed), random.Random(seed))


def build_recipe(config: RecipeConfig, seed: int | None = None) -> A.Compose:
    """The recipe as a strict `A.Compose` for (H, W, 3) uint8 RGB images; InputError for a wrong step.

    `seed` fixes its random stream; `recipe.set_random_seed(seed)` does so later, for instance once per epoch.
    """
    return A.Compose([Recipe(_transforms(check_steps(config)), p=1.0)], seed=seed, strict=True)


def detector_transforms(config: RecipeConfig) -> list[A.Sequential]:
    """The recipe for ultralytics' `augmentations=`: one serialisable sequence that takes and gives BGR images.

    Boxes follow flips, turns, scaling and perspective. An empty recipe gives an empty list. Raises InputError for a
    warp, which boxes would not follow.
    """
    steps = check_steps(config)
    if any(step.op == "warp" for step in steps):
        raise InputError(f"recipe {config.name!r}: op 'warp' is of the scorer's crops; a detector's boxes stay behind")
    if not steps:
        return []
    return [Recipe([SwapRedBlue(), *_transforms(steps), SwapRedBlue()], p=1.0)]


def _transforms(steps: list[Step]) -> list[A.BasicTransform]:
    return [BUILDERS[step.op](step.p, **step.settings) for step in steps]


def _flip(p: float) -> A.BaseCompose:
    return A.OneOf([A.VerticalFlip(p=1), A.HorizontalFlip(p=1), _both()], p=p)


def _both() -> A.BaseCompose:
    return A.Sequential([A.VerticalFlip(p=1), A.HorizontalFlip(p=1)], p=1)


BUILDERS: dict[str, Callable[..., A.BasicTransform | A.BaseCompose]] = {
    "gauss_noise": lambda p, variance, per_channel: GaussNoise2024(tuple(variance), per_channel, p=p),
    "iso_noise": lambda p, color_shift, intensity: IsoNoise2024(tuple(color_shift), tuple(intensity), p=p),
    "multiplicative_noise": lambda p, multiplier: ChannelGain(tuple(multiplier), p=p),
    "flip": _flip,
    "horizontal_flip": lambda p: A.HorizontalFlip(p=p),
    "rotate90": lambda p: A.RandomRotate90(p=p),
    "blur": lambda p, kernel: A.Blur(blur_limit=tuple(kernel), p=p),
    "median_blur": lambda p, kernel: MedianBlur2024(blur_limit=tuple(kernel), p=p),
    "advanced_blur": lambda p, kernel: A.AdvancedBlur(blur_limit=tuple(kernel), p=p),
    "to_gray": lambda p: A.ToGray(p=p),
    "clahe": lambda p, clip_limit, tiles: A.CLAHE(clip_limit=tuple(clip_limit), tile_grid_size=(tiles, tiles), p=p),
    "brightness_contrast": lambda p, brightness, contrast: A.RandomBrightnessContrast(
        brightness_limit=tuple(brightness), contrast_limit=tuple(contrast), p=p
    ),
    "gamma": lambda p, percent: A.RandomGamma(gamma_limit=tuple(percent), p=p),
    "perspective": lambda p, scale: A.Perspective(scale=tuple(scale), p=p),
    "affine": lambda p, scale: A.Affine(scale=tuple(scale), p=p),
    "warp": lambda p, **settings: Warp(p=p, **settings),
    "compression": lambda p, quality: JpegCompression(tuple(quality), p=p),
}
