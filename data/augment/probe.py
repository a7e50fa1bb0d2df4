"""A probe of real training images before the first step: are they what the recipe makes of their originals?

The published runs lost days to images that were wrong in silence: noise meant for 0..255 on a 0..1 scale, noise of
1/65025 of the strength, red and blue exchanged. The probe runs the recipe on the same originals with a seed of its
own, and compares how noisy, how saturated and how coloured the two sets are.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from data.augment import build_recipe
from data.recipe import RecipeConfig

CHANCE = 1e-6  # how rarely a right batch may be refused, per figure
FEWEST = 48  # images below which half-strength faults cannot be told from luck
_SIMULATED = 192  # images the recipe is run on for comparison, at least
_COLOURED = 3.0  # grey levels of red minus blue, root mean square, below which the originals show no channel order
_LAPLACE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)

Image = NDArray[np.uint8]


class RecipeNotLiveError(RuntimeError):
    """Training images are not what their recipe makes."""


def probe_batch(
    originals: Sequence[Image], augmented: Sequence[NDArray[np.generic]], config: RecipeConfig, seed: int = 0
) -> dict[str, float]:
    """Compare `augmented`, the augmented `originals` in the same order, with what `config` makes of the originals.

    originals: (H, W, 3) uint8 RGB. augmented: what the trainer has just before it scales to floats; they must be the
    same kind of array. Returns the figures (`noise`, `noise_expected`, `saturated`, `colour_kept`, ...) for the log;
    raises RecipeNotLiveError saying which figure is off. At least FEWEST images, or weak faults pass.
    """
    for number, image in enumerate(augmented):
        _check_array(number, image)
    recipe = build_recipe(config, seed + 1)
    rounds = -(-_SIMULATED // len(originals))
    simulated = [recipe(image=image)["image"] for _ in range(rounds) for image in originals]
    real = [np.asarray(image, np.uint8) for image in augmented]
    figures: dict[str, float] = {}
    for name, measure in MEASURES.items():
        own = np.array([measure(image) for image in originals])
        got = np.array([measure(image) for image in real])
        expected = np.array([measure(image) for image in simulated])
        figures[name], figures[f"{name}_expected"] = float(got.mean()), float(expected.mean())
        # Changes against each image's own original tell far more than the values, which differ by subject.
        _compare(name, got - own, expected - np.tile(own, rounds), figures)
    figures.update(_colour_kept(originals, real, simulated, rounds))
    return figures


def _check_array(number: int, image: NDArray[np.generic]) -> None:
    if image.dtype != np.uint8:
        raise RecipeNotLiveError(f"image {number}: is {image.dtype}, not uint8 0..255: its noise would be off scale")
    if image.ndim != 3 or image.shape[2] != 3:
        raise RecipeNotLiveError(f"image {number}: has shape {image.shape}, not (height, width, 3)")


def noise_level(image: Image) -> float:
    """The standard deviation of pixel noise in the green channel, in grey levels (Immerkaer 1996)."""
    response = cv2.filter2D(image[..., 1].astype(np.float32), -1, _LAPLACE)[1:-1, 1:-1]
    return float(np.abs(response).mean() * np.sqrt(np.pi / 2) / 6) if response.size else 0.0


def _saturated(image: Image) -> float:
    """The share of values that are 0 or 255."""
    return float(((image == 0) | (image == 255)).mean())


def _brightness(image: Image) -> float:
    return float(image.mean())


MEASURES: dict[str, Callable[[Image], float]] = {
    "noise": noise_level,
    "saturated": _saturated,
    "brightness": _brightness,
}


def _compare(name: str, real: NDArray[np.float64], simulated: NDArray[np.float64], figures: dict[str, float]) -> None:
    """Refuse the batch when the two samples of a change cannot come from one distribution."""
    from scipy.stats import ks_2samp

    if ks_2samp(real, simulated).pvalue < CHANCE:
        raise RecipeNotLiveError(
            f"the images' {name} is {figures[name]:.3g} on average where the recipe gives"
            f" {figures[name + '_expected']:.3g}"
        )


def _colour_kept(
    originals: Sequence[Image], real: list[Image], simulated: list[Image], rounds: int
) -> dict[str, float]:
    """How much of the originals' red minus blue is left: near that of the recipe, and negative when exchanged."""
    given = np.array([_red_minus_blue(p) for p in originals])
    if float(np.sqrt((given**2).mean())) < _COLOURED:
        return {}
    kept = float((given * [_red_minus_blue(p) for p in real]).sum() / (given**2).sum())
    repeated = np.tile(given, rounds)
    expected = float((repeated * [_red_minus_blue(p) for p in simulated]).sum() / (repeated**2).sum())
    if kept < 0 < expected:
        raise RecipeNotLiveError(
            f"red and blue are exchanged: {kept:.2f} of red minus blue is left, not {expected:.2f}"
        )
    return {"colour_kept": kept, "colour_kept_expected": expected}


def _red_minus_blue(image: Image) -> float:
    return float(image[..., 0].mean() - image[..., 2].mean())
