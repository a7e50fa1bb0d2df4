"""Recipes: what they draw and how often, measured; red stays red; boxes follow; they survive being stored."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from omegaconf import OmegaConf

import configs
from core.errors import InputError
from data.augment import BUILDERS, build_recipe, detector_transforms
from data.augment.measure import Probe, StepFigures, measure_recipe
from data.augment.median import median7
from data.recipe import OPERATIONS, RecipeConfig, check_steps

RECIPES = sorted(path.stem for path in (Path(configs.__path__[0]) / "recipe").glob("*.yaml"))
PUBLISHED = {  # the published lists: step -> (probability, the setting that matters)
    "none": {},
    "v1": {"gauss_noise": (0.5, [0, 2500]), "flip": 0.5, "blur": 0.1, "median_blur": 0.1, "to_gray": 0.1, "clahe": 0.1,
           "brightness_contrast": 0.5, "gamma": 0.2, "compression": (0.5, [75, 100])},
    "v2": {"gauss_noise": (1, [500, 2500]), "iso_noise": (1, [0.02, 0.07]), "multiplicative_noise": 1,
           "advanced_blur": (0.2, [3, 7]), "flip": 0.5, "clahe": 0.2, "brightness_contrast": 0.5, "gamma": 0.2},
    "v3": {"gauss_noise": (0.5, [0, 2500]), "iso_noise": (0.5, [0.01, 0.05]), "flip": 0.5, "blur": 0.1,
           "median_blur": 0.1, "to_gray": 0.1, "clahe": 0.1, "brightness_contrast": 0.5, "gamma": 0.2,
           "compression": (0.5, [75, 100])},
    "augv2": {"gauss_noise": (1, [500, 5000]), "iso_noise": (1, [0.02, 0.07]), "multiplicative_noise": 1,
              "advanced_blur": (0.3, [3, 11]), "flip": 0.5, "rotate90": 0.5, "clahe": 0.2, "brightness_contrast": 0.5,
              "gamma": 0.2, "perspective": 0.5, "compression": (0.8, [25, 75])},
}  # fmt: skip
OF_CROPS = {"small"}  # recipes that no detector takes
PUBLISHED["v1_notebook"] = PUBLISHED["v1"] | {"gauss_noise": (1, [0, 2500])}


def load(name: str) -> RecipeConfig:
    values = OmegaConf.load(Path(configs.__path__[0]) / "recipe" / f"{name}.yaml")
    return RecipeConfig(**OmegaConf.to_container(values))


def one_step(op: str, p: float = 1.0, **settings: object) -> RecipeConfig:
    return RecipeConfig(op, [{"op": op, "p": p, **settings}])


def moments(low: float, high: float, whole: bool = False) -> tuple[float, float]:
    """Mean and standard deviation of a uniform draw."""
    return (low + high) / 2, (((high - low + whole) ** 2 - whole) / 12) ** 0.5


EXPECTED = {  # drawn parameter -> (setting, how the setting becomes mean and spread)
    "variance": ("variance", moments),
    "color_shift": ("color_shift", moments),
    "intensity": ("intensity", moments),
    "factor": ("multiplier", moments),
    "clip_limit": ("clip_limit", moments),
    "brightness": ("brightness", moments),
    "contrast": ("contrast", moments),
    "percent": ("percent", moments),
    "scale_x": ("scale", moments),
    "scale_y": ("scale", moments),
    "quality": ("quality", lambda low, high: moments(low, high, whole=True)),
    "kernel": ("kernel", lambda low, high: (np.mean(range(low, high + 1, 2)), np.std(range(low, high + 1, 2)))),
}


def check_figures(figures: StepFigures) -> None:
    """Rates and means within 2 % or four standard errors, whichever is larger; the range never left."""
    step = figures.step
    error = (step.p * (1 - step.p) / figures.draws) ** 0.5
    assert abs(figures.rate - step.p) <= max(4 * error, 0.02 * step.p), step.op
    for name, values in figures.drawn.items():
        if name in EXPECTED:
            setting, expected = EXPECTED[name]
            low, high = step.settings[setting]
            mean, spread = expected(low, high)
            assert low - 1e-6 <= min(values), (step.op, name)
            assert max(values) <= high + 1e-6, (step.op, name)
            assert abs(np.mean(values) - mean) <= max(4 * spread / len(values) ** 0.5, 0.02 * abs(mean)), (
                step.op,
                name,
            )
            deviation = np.std(values)
            assert abs(deviation - spread) <= max(0.02 * spread, 4 * spread / len(values) ** 0.5), (step.op, name)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_does_what_it_says(name: str) -> None:
    config = load(name)
    assert config.name == name
    figures = measure_recipe(config, 600, seed=11, side=16)
    assert [f.step.op for f in figures] == [step["op"] for step in config.steps]
    for step in figures:
        check_figures(step)
        if step.step.op == "flip":
            codes = np.array(step.drawn["code"])
            thirds = [np.mean(codes == code) for code in (-1, 0, 1)]
            assert np.abs(np.array(thirds) - 1 / 3).max() < 4 * (2 / 9 / len(codes)) ** 0.5
        if step.step.op == "rotate90":
            turns = np.array(step.drawn["turns"])
            quarters = [np.mean(turns == turn) for turn in range(4)]
            assert np.abs(np.array(quarters) - 1 / 4).max() < 4 * (3 / 16 / len(turns)) ** 0.5


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_recipes_hold_the_published_lists(name: str) -> None:
    steps = {step.op: step for step in check_steps(load(name))}
    assert list(steps) == list(PUBLISHED[name])
    for op, wanted in PUBLISHED[name].items():
        p, value = wanted if isinstance(wanted, tuple) else (wanted, None)
        assert steps[op].p == p
        if value is not None:
            assert next(iter(steps[op].settings.values())) == value


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_built_without_a_warning(name: str) -> None:
    """albumentations only warns about arguments it does not know, and then uses its defaults."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build_recipe(load(name)).strict
        if name not in OF_CROPS:
            detector_transforms(load(name))


def test_v3_without_flip_differs_by_nothing_else() -> None:
    with_flip = [step for step in check_steps(load("v3")) if step.op != "flip"]
    assert with_flip == check_steps(load("v3_noflip"))


@pytest.mark.parametrize("seeded", [False, True])
def test_steps_fire_independently(seeded: bool) -> None:
    """One seed for all transforms, as ultralytics sets it, must not make them fire together."""
    probe = Probe(load("v3"), 0)
    if seeded:
        probe.recipe.set_random_seed(12345)
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    names = [f.step.op for f in probe.figures]
    fired = np.zeros((1000, len(names)))
    for row in fired:
        happened = {text.split()[0] for text in probe(image)[1]}
        row[:] = [name in happened for name in names]
    correlation = np.corrcoef(fired.T) - np.eye(len(names))
    assert np.abs(correlation).max() < 4.5 / 1000**0.5


def red_image() -> NDArray[np.uint8]:
    """A red image with a little structure, RGB."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = np.random.default_rng(0).integers(170, 255, (64, 64))
    return image


@pytest.mark.parametrize("op", sorted(set(OPERATIONS) - {"to_gray", "warp"}))
def test_red_stays_red_through_every_operation(op: str) -> None:
    config = one_step(op)
    rgb = np.mean([build_recipe(config, seed)(image=red_image())["image"].mean((0, 1)) for seed in range(6)], 0)
    bgr_in = np.ascontiguousarray(red_image()[..., ::-1])
    path = [A.Compose(detector_transforms(config), seed=seed, strict=True) for seed in range(6)]
    bgr = np.mean([transform(image=bgr_in)["image"].mean((0, 1)) for transform in path], 0)
    assert rgb[0] > 2 * max(rgb[1], rgb[2]), rgb
    assert bgr[2] > 2 * max(bgr[0], bgr[1]), bgr


def test_a_warp_is_refused_for_a_detector() -> None:
    with pytest.raises(InputError, match="recipe 'small': op 'warp' is of the scorer's crops"):
        detector_transforms(load("small"))


@pytest.mark.parametrize("name", sorted(set(RECIPES) - OF_CROPS))
def test_the_detector_gets_the_same_pixels_in_its_own_channel_order(name: str) -> None:
    config = load(name)
    image = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8), (5, 5), 0)
    rgb, bgr = build_recipe(config, 3), A.Compose(detector_transforms(config), seed=3, strict=True)
    for _ in range(6 if config.steps else 0):
        ours = rgb(image=image)["image"]
        theirs = bgr(image=np.ascontiguousarray(image[..., ::-1]))["image"]
        assert (theirs[..., ::-1] == ours).all()
    assert (detector_transforms(config) == []) == (config.steps == [])


def test_gray_is_weighed_as_rgb_on_both_paths() -> None:
    config = one_step("to_gray")
    red = red_image()
    expected = cv2.cvtColor(red, cv2.COLOR_RGB2GRAY).astype(int)
    ours = build_recipe(config)(image=red)["image"]
    theirs = A.Compose(detector_transforms(config))(image=np.ascontiguousarray(red[..., ::-1]))["image"]
    for result in (ours, theirs):
        assert np.abs(result.astype(int) - expected[..., None]).max() <= 1


def test_boxes_follow_flips_and_turns() -> None:
    steps = [{"op": "flip", "p": 0.7}, {"op": "rotate90", "p": 0.7}, {"op": "gauss_noise", "p": 1, "variance": [0, 9]}]
    transform = A.Compose(
        detector_transforms(RecipeConfig("moves", steps)),
        bbox_params=A.BboxParams(format="pascal_voc", label_fields=["labels"]),
        seed=1,
    )
    image = np.zeros((60, 90, 3), np.uint8)
    image[10:22, 50:80, 2] = 255
    seen = set()
    for _ in range(40):
        result = transform(image=image, bboxes=[(50, 10, 80, 22)], labels=[0])
        rows, columns = (np.flatnonzero((result["image"][..., 2] > 128).any(axis)) for axis in (1, 0))
        drawn = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert np.allclose(result["bboxes"][0], drawn, atol=1e-3)
        seen.add(drawn)
    assert len(seen) >= 6


def test_recipes_survive_storing(tmp_path: Path) -> None:
    stored = [A.to_dict(t) for t in detector_transforms(load("v3"))]
    again = json.loads(json.dumps(stored))
    image = np.random.default_rng(2).integers(0, 256, (32, 32, 3), np.uint8)
    one = A.Compose([A.from_dict(t) for t in again])
    two = A.Compose(detector_transforms(load("v3")))
    one.set_random_seed(9)
    two.set_random_seed(9)
    for _ in range(20):
        assert (one(image=image)["image"] == two(image=image)["image"]).all()
    assert [A.to_dict(t) for t in one.transforms] == stored
    (tmp_path / "stored.json").write_text(json.dumps(stored))
    root = str(Path(configs.__path__[0]).parent)
    code = (
        "import json, albumentations as A, data.augment;"
        "print(len(A.from_dict(json.load(open('stored.json'))[0]).transforms))"
    )
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": root, "PATH": ""}, capture_output=True,
                          text=True, timeout=60)  # fmt: skip
    assert done.stdout.strip() == str(len(load("v3").steps) + 2), done.stderr


@pytest.mark.parametrize("shape", [(7, 9), (64, 64), (500, 400), (37, 3001), (1, 1), (3, 50)])
def test_the_fast_median_is_opencvs(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (*shape, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (9, 9), 0)
    for image in (noise, smooth, np.where(noise > 128, 255, 0).astype(np.uint8)):
        assert (median7(image) == cv2.medianBlur(image, 7)).all()


def test_the_median_transform_uses_it_and_keeps_its_kernels() -> None:
    large = np.random.default_rng(4).integers(0, 256, (500, 480, 3), np.uint8)
    for kernel in (3, 5, 7):
        transform = BUILDERS["median_blur"](1.0, kernel=[kernel, kernel])
        assert (transform(image=large)["image"] == cv2.medianBlur(large, kernel)).all()


def test_seeds_fix_the_stream() -> None:
    image = np.random.default_rng(2).integers(0, 256, (32, 32, 3), np.uint8)
    runs = []
    for seed in (4, 4, 5):
        recipe = build_recipe(load("augv2"), seed)
        runs.append([recipe(image=image)["image"] for _ in range(5)])
    assert all((a == b).all() for a, b in zip(runs[0], runs[1], strict=True))
    assert any((a != b).any() for a, b in zip(runs[0], runs[2], strict=True))


@pytest.mark.parametrize(
    ("steps", "hint"),
    [
        ([{"op": "gauss_noise", "p": 0.5, "var_limit": 2500}], "var_limit"),
        ([{"op": "gaussnoise", "p": 0.5}], "gauss_noise"),
        ([{"op": "flip"}], "'p'"),
        ([{"op": "flip", "p": 1.5}], "0..1"),
        ([{"op": "compression", "p": 1, "quality": [100, 75]}], "low, high"),
        ([{"op": "compression", "p": 1, "quality": 75}], "two numbers"),
        ([{"op": "blur", "p": 1, "kernel": [3.5, 7]}], "whole"),
        ([{"op": "gauss_noise", "p": 1, "per_channel": 3}], "bool"),
    ],
)
def test_a_wrong_step_is_named(steps: list[dict], hint: str) -> None:
    with pytest.raises(InputError, match="step 1") as caught:
        build_recipe(RecipeConfig("mine", steps))
    assert hint in str(caught.value)
    assert set(BUILDERS) == set(OPERATIONS)
