"""Recipe V3 at 1280 px on one core: ours against the same list in stock albumentations, and in plain numpy.

    python -m benchmarks.recipes [--side 1280] [--rounds 9] [--recipe v3]

Each step is timed when it fires, the three implementations in turn within each round (process time, so that other
programs on the machine hardly count); a recipe's cost is the sum of probability x cost over its steps. Then whole
recipes run over the same images, as a check on the sum. The noise distributions are compared with the mid-2024
definition by Kolmogorov-Smirnov distance on a million values, before rounding.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A
import cv2
import numpy as np
from omegaconf import OmegaConf

from benchmarks.recording import record, take_json
from data.augment import BUILDERS
from data.augment.noise import gauss_noise, iso_noise
from data.recipe import RecipeConfig, Step, check_steps
from data.scenes.draw import SceneSettings, draw_scene
from data.scenes.layout import Layout

RECIPES = Path(__file__).resolve().parent.parent / "configs" / "recipe"
Run = Callable[[np.ndarray], np.ndarray]
RNG = np.random.default_rng(0)


def stock(step: Step) -> A.BasicTransform | A.BaseCompose:
    """The step in stock albumentations 2.0.8, as near to its published meaning as its own transforms come."""
    settings = step.settings
    flips = [A.VerticalFlip(p=1), A.HorizontalFlip(p=1)]
    builders: dict[str, Callable[[], A.BasicTransform | A.BaseCompose]] = {
        "gauss_noise": lambda: A.GaussNoise(std_range=tuple(v**0.5 / 255 for v in settings["variance"]), p=1),
        "iso_noise": lambda: A.ISONoise(tuple(settings["color_shift"]), tuple(settings["intensity"]), p=1),
        "multiplicative_noise": lambda: A.MultiplicativeNoise(tuple(settings["multiplier"]), per_channel=True, p=1),
        "median_blur": lambda: A.MedianBlur(blur_limit=tuple(settings["kernel"]), p=1),
        "flip": lambda: A.OneOf([*flips, A.Sequential(flips, p=1)], p=1),
        "compression": lambda: A.ImageCompression(quality_range=tuple(settings["quality"]), p=1),
    }
    return builders[step.op]() if step.op in builders else BUILDERS[step.op](1.0, **settings)


def plain_numpy(step: Step) -> Run:
    """The step written down directly with numpy (and OpenCV where numpy has no such operation)."""
    own = {"gauss_noise": _numpy_gauss, "iso_noise": _numpy_iso, "flip": _numpy_flip,
           "brightness_contrast": _numpy_brightness, "gamma": _numpy_gamma, "to_gray": _numpy_gray}  # fmt: skip
    if step.op in own:
        return lambda image: own[step.op](image, step.settings)
    transform = stock(step)
    return lambda image: transform(image=image)["image"]


def _numpy_gauss(image: np.ndarray, settings: dict) -> np.ndarray:
    sigma = RNG.uniform(*settings["variance"]) ** 0.5
    return np.clip(image.astype(np.float32) + RNG.normal(0, sigma, image.shape), 0, 255).astype(np.uint8)


def _numpy_iso(image: np.ndarray, settings: dict) -> np.ndarray:
    shift, intensity = RNG.uniform(*settings["color_shift"]), RNG.uniform(*settings["intensity"])
    hls = cv2.cvtColor(np.multiply(image, 1 / 255, dtype=np.float32), cv2.COLOR_RGB2HLS)
    luminance = RNG.poisson(cv2.meanStdDev(hls)[1][1, 0] * intensity * 255, hls.shape[:2])
    hue = hls[..., 0] + RNG.normal(0, shift * 360 * intensity, hls.shape[:2])
    hls[..., 0] = np.where(hue < 0, hue + 360, np.where(hue > 360, hue - 360, hue))
    hls[..., 1] += (luminance / 255) * (1.0 - hls[..., 1])
    return (cv2.cvtColor(hls, cv2.COLOR_HLS2RGB) * 255).astype(np.uint8)


def _numpy_flip(image: np.ndarray, settings: dict) -> np.ndarray:
    return np.ascontiguousarray([image[::-1], image[:, ::-1], image[::-1, ::-1]][RNG.integers(3)])


def _numpy_brightness(image: np.ndarray, settings: dict) -> np.ndarray:
    gain, shift = 1 + RNG.uniform(*settings["contrast"]), RNG.uniform(*settings["brightness"])
    return np.clip(image.astype(np.float32) * gain + shift * 255, 0, 255).astype(np.uint8)


def _numpy_gamma(image: np.ndarray, settings: dict) -> np.ndarray:
    return (np.power(image / 255.0, RNG.uniform(*settings["percent"]) / 100) * 255).astype(np.uint8)


def _numpy_gray(image: np.ndarray, settings: dict) -> np.ndarray:
    gray = (image.astype(np.float32) @ np.float32([0.299, 0.587, 0.114])).round().astype(np.uint8)
    return np.repeat(gray[..., None], 3, -1)


def time_ms(run: Run, image: np.ndarray) -> float:
    """Processor milliseconds of one call."""
    started = time.process_time()
    run(image)
    return (time.process_time() - started) * 1e3


def compare_steps(steps: list[Step], images: list[np.ndarray], rounds: int) -> dict[str, float]:
    """Print each step's median cost in the three implementations and the recipe's expected cost and ratios."""
    print(f"\n{'step':22s} {'p':>4s} {'ours ms':>9s} {'stock ms':>9s} {'numpy ms':>9s}")
    totals, parts = np.zeros(3), {}
    for step in steps:
        ours, theirs = BUILDERS[step.op](1.0, **step.settings), stock(step)
        runs: list[Run] = [
            lambda image, t=ours: t(image=image)["image"],
            lambda image, t=theirs: t(image=image)["image"],
            plain_numpy(step),
        ]
        for run in runs:
            run(images[0])
        # A step's cost depends on what it draws (a median of 7 costs 30 times one of 3): draw often enough.
        rows = []
        for number in range(rounds * 3):
            for transform in (ours, theirs):  # the same draws for transforms that both take from albumentations
                transform.set_random_seed(number)
            rows.append([time_ms(run, images[number % len(images)]) for run in runs])
        cost = np.mean(rows, 0)
        totals += step.p * cost
        parts[step.op] = parts.get(step.op, 0.0) + float(step.p * cost[0])
        print(f"{step.op:22s} {step.p:4.1f} " + " ".join(f"{value:9.2f}" for value in cost))
    print(f"{'expected per image':27s} " + " ".join(f"{value:9.2f}" for value in totals))
    print(f"ratio stock / ours {totals[1] / totals[0]:.2f}   ratio numpy / ours {totals[2] / totals[0]:.2f}")
    return parts


def compare_whole(steps: list[Step], images: list[np.ndarray], rounds: int) -> list[float]:
    """Print the median over rounds of whole-recipe times; the same steps fire on the same images in all three."""
    ours = [BUILDERS[step.op](1.0, **step.settings) for step in steps]
    theirs = [stock(step) for step in steps]
    chains: list[list[Run]] = [
        [lambda image, t=t: t(image=image)["image"] for t in ours],
        [lambda image, t=t: t(image=image)["image"] for t in theirs],
        [plain_numpy(step) for step in steps],
    ]
    times = []
    for number in range(rounds):
        fired = np.random.default_rng(number).random((len(images), len(steps))) < [step.p for step in steps]
        for chain in (ours, theirs):
            for transform in chain:
                transform.set_random_seed(number)
        times.append([
            statistics.fmean(
                time_ms(lambda image, c=chain, f=row: _run_fired(c, f, image), image)
                for row, image in zip(fired, images, strict=True)
            )
            for chain in chains
        ])  # fmt: skip
    median, spread = np.median(times, 0), np.std(times, 0)
    names = ("ours", "stock", "numpy")
    shown = ", ".join(f"{n} {m:.1f} ({s:.1f})" for n, m, s in zip(names, median, spread, strict=True))
    print(f"\nwhole recipe, {rounds} rounds of {len(images)} images, median (spread) ms: {shown}")
    print(f"ratio stock / ours {median[1] / median[0]:.2f}   ratio numpy / ours {median[2] / median[0]:.2f}")
    return [float(value) for value in median]


def _run_fired(chain: list[Run], fired: np.ndarray, image: np.ndarray) -> np.ndarray:
    for run, fires in zip(chain, fired, strict=True):
        image = run(image) if fires else image
    return image


def compare_distributions(count: int = 1_000_000) -> None:
    """Print the KS distances of our pooled noises from the mid-2024 definition."""
    from scipy.stats import ks_2samp, kstest, norm

    sigma, std, shift, intensity = 35.0, 0.21, 0.03, 0.3
    rng = np.random.default_rng(5)
    gauss = gauss_noise(sigma, count, rng)
    hue, gain = iso_noise(std, shift, intensity, count, rng)
    published = np.random.default_rng(6).poisson(std * intensity * 255, count) / 255
    print(f"\nKS distance on {count} values before rounding, from the mid-2024 definition:")
    print(f"  gaussian noise {kstest(gauss / sigma, norm.cdf).statistic:.5f}")
    print(f"  iso hue        {kstest(hue / (shift * 360 * intensity), norm.cdf).statistic:.5f}")
    print(f"  iso luminance  {ks_2samp(np.round(gain * 255), np.round(published * 255)).statistic:.5f}")


def main() -> None:
    """Run the comparison and print it."""
    file = take_json()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--recipe", default="v3")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    config = RecipeConfig(**OmegaConf.to_object(OmegaConf.load(RECIPES / f"{options.recipe}.yaml")))
    steps = check_steps(config)
    layout = Layout((options.side, options.side), (60, 40), (3, 8), 0.6, ("grey drone", "red helicopter"))
    images = [draw_scene(SceneSettings(0, layout), index)[0] for index in range(16)]
    packages = ", ".join(f"{name} {version(name)}" for name in ("albumentations", "opencv-python", "numpy"))
    print(f"recipe {config.name} at {options.side} px, one core, {options.rounds} rounds; {packages}")
    parts = compare_steps(steps, images, options.rounds)
    ours, stock_ms, numpy_ms = compare_whole(steps, images, options.rounds)
    compare_distributions()
    record(file, f"recipe_{config.name}", {
        "ours_ms": ours, "albumentations_ms": stock_ms, "numpy_ms": numpy_ms,
        "over_albumentations": stock_ms / ours, "over_numpy": numpy_ms / ours, "parts_ms": parts,
    })  # fmt: skip


if __name__ == "__main__":
    main()
