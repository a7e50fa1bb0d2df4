"""The probe passes what the recipes make and refuses the published system's broken images."""

import warnings
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from numpy.typing import NDArray
from omegaconf import OmegaConf

import configs
from data.augment import build_recipe
from data.augment.probe import FEWEST, RecipeNotLiveError, noise_level, probe_batch
from data.recipe import RecipeConfig
from data.scenes.palette import default_captions, parse_caption
from data.scenes.targets import Light, draw_target

RECIPES = sorted(path.stem for path in (Path(configs.__path__[0]) / "recipe").glob("*.yaml"))
FIXED = "v1fixed_500"


def load(name: str) -> RecipeConfig:
    return RecipeConfig(**OmegaConf.to_container(OmegaConf.load(Path(configs.__path__[0]) / "recipe" / f"{name}.yaml")))


@pytest.fixture(scope="module")
def crops() -> list[NDArray[np.uint8]]:
    """Crops of drawn targets on plain grounds, 64 px square, RGB."""
    rng = np.random.default_rng(0)
    found = []
    for caption in default_captions()[:FEWEST]:
        target = draw_target(parse_caption(caption), (60, 60), rng, Light(), exact=True).astype(float)
        ground = np.full((64, 64, 3), rng.integers(60, 200, 3), float)
        alpha = target[..., 3:] / 255
        ground[2:62, 2:62] = ground[2:62, 2:62] * (1 - alpha) + target[..., :3] * alpha
        found.append(ground.round().astype(np.uint8))
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_right_images_pass(name: str, crops: list[NDArray[np.uint8]]) -> None:
    config = load(name)
    for seed in range(3):
        recipe = build_recipe(config, 100 + seed)
        figures = probe_batch(crops, [recipe(image=crop)["image"] for crop in crops], config, seed)
        assert figures["colour_kept"] > 0
        assert figures["brightness"] == pytest.approx(figures["brightness_expected"], rel=0.2)


def on_unit_scale(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The first broken list: noise of variance 0..2500, meant for 0..255, on an image scaled to 0..1."""
    rng = np.random.default_rng(int(crop[0, 0, 0]))
    return np.clip(crop / 255 + rng.normal(0, rng.uniform(0, 2500) ** 0.5, crop.shape), 0, 1).astype(np.float32)


def test_noise_for_0_to_255_on_a_unit_scale_is_refused(crops: list[NDArray[np.uint8]]) -> None:
    images = [on_unit_scale(crop) for crop in crops]
    with pytest.raises(RecipeNotLiveError, match="float32"):
        probe_batch(crops, images, load("v1fixed_2500"))
    with pytest.raises(RecipeNotLiveError, match=r"noise|saturated"):
        probe_batch(crops, [(p * 255).astype(np.uint8) for p in images], load("v1fixed_2500"))


@pytest.mark.parametrize("name", [FIXED, "v1fixed_400", "augv2", "stronger_1000", "v3"])
def test_noise_divided_by_65025_is_refused(name: str, crops: list[NDArray[np.uint8]]) -> None:
    """The second broken list: the variance divided by 255 twice, on images of 0..255: no noise at all."""
    config = load(name)
    without = [s for s in config.steps if s["op"] not in ("gauss_noise", "iso_noise")]
    recipe = build_recipe(RecipeConfig("broken", without), 1)
    many = crops * 3
    with pytest.raises(RecipeNotLiveError, match="noise"):
        probe_batch(many, [recipe(image=crop)["image"] for crop in many], config)


def test_exchanged_channels_are_refused(crops: list[NDArray[np.uint8]]) -> None:
    recipe = build_recipe(load(FIXED), 1)
    images = [np.ascontiguousarray(recipe(image=crop)["image"][..., ::-1]) for crop in crops]
    with pytest.raises(RecipeNotLiveError, match="exchanged"):
        probe_batch(crops, images, load(FIXED))


def test_planes_first_are_refused(crops: list[NDArray[np.uint8]]) -> None:
    with pytest.raises(RecipeNotLiveError, match="shape"):
        probe_batch(crops, [crop.transpose(2, 0, 1) for crop in crops], load("none"))


def test_todays_meaning_of_the_old_arguments_is_refused(crops: list[NDArray[np.uint8]]) -> None:
    """albumentations 2.0.8 ignores `var_limit` with a warning and draws 2.4 times the noise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stock = A.Compose([A.GaussNoise(var_limit=(0, 2500), p=1)], seed=1)
    config = RecipeConfig("noise", [{"op": "gauss_noise", "p": 1, "variance": [0, 2500]}])
    with pytest.raises(RecipeNotLiveError, match="noise"):
        probe_batch(crops, [stock(image=crop)["image"] for crop in crops], config)


def test_noise_level_is_in_grey_levels() -> None:
    rng = np.random.default_rng(0)
    slope = np.add.outer(np.arange(96) * 0.5, np.arange(96) * 0.7)[..., None] + np.full(3, 60.0)
    for sigma in (3, 10, 25):
        noisy = np.clip(slope + rng.normal(0, sigma, slope.shape), 0, 255).round().astype(np.uint8)
        assert noise_level(noisy) == pytest.approx(sigma, rel=0.07)
