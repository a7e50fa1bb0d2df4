"""Drawn landscapes: skies, clouds, mountain ranges, hills, forests, fields, deserts, snow and water."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data.scenes.landscapes.cloth import blend, colourise, ramp, smooth_noise
from data.scenes.landscapes.land import draw_ground, draw_ridges, draw_water
from data.scenes.landscapes.plants import draw_trees, scatter
from data.scenes.targets import Light

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Sky:
    """A sky's colours from zenith to horizon, its clouds' lit and shaded colours, and how bright the day is."""

    zenith: RGB
    middle: RGB
    horizon: RGB
    cloud_lit: RGB
    cloud_shade: RGB
    cover: tuple[float, float]  # least and most share of cloud
    brightness: float = 1.0


SKIES = {
    "noon": Sky((38, 92, 176), (96, 150, 214), (186, 212, 236), (252, 252, 250), (168, 178, 194), (0.1, 0.75)),
    "pale": Sky((132, 172, 214), (176, 204, 230), (224, 232, 236), (250, 250, 250), (196, 204, 214), (0.05, 0.7)),
    "deep": Sky((12, 46, 112), (34, 88, 164), (134, 176, 214), (246, 248, 252), (128, 146, 172), (0.05, 0.7)),
    "overcast": Sky(
        (150, 156, 164), (178, 182, 188), (208, 210, 212), (226, 228, 230), (122, 128, 136), (0.6, 1.0), 0.9
    ),
    "storm": Sky((62, 72, 88), (96, 106, 120), (166, 170, 172), (176, 180, 186), (54, 60, 72), (0.6, 1.0), 0.75),
    "dusk": Sky((44, 52, 104), (148, 104, 134), (248, 176, 112), (255, 196, 150), (92, 72, 104), (0.1, 0.6), 0.75),
    "dawn": Sky((98, 128, 178), (190, 186, 204), (250, 214, 178), (255, 232, 214), (150, 146, 168), (0.0, 0.5), 0.9),
    "hazy": Sky((70, 110, 190), (128, 152, 216), (206, 208, 232), (240, 238, 244), (160, 166, 196), (0.0, 0.2), 0.95),
}

SCENES = {"mountains": 0.22, "hills": 0.2, "plain": 0.1, "lake": 0.18, "forest": 0.16, "cliff": 0.1, "sky": 0.04}


def draw_background(rng: np.random.Generator, width: int, height: int) -> tuple[NDArray[np.uint8], Light]:
    """A landscape of the given size as (H, W, 3) uint8 RGB, and the light that targets in it should be drawn under."""
    sky = SKIES[str(rng.choice(list(SKIES)))]
    sun = float(rng.choice([-1.0, 1.0]))
    unit = width / 1520
    image = _draw_sky(rng, sky, width, height, sun, unit)
    scene = str(rng.choice(list(SCENES), p=list(SCENES.values())))
    horizon = height + 1 if scene == "sky" else int(height * rng.uniform(0.38, 0.7))
    if scene in ("mountains", "hills", "forest", "lake", "cliff"):
        image = draw_ridges(rng, image, scene, horizon, sun, sky.horizon, unit)
    if scene == "lake":
        image = draw_water(rng, image, horizon, unit)
    elif scene in ("plain", "hills") or (scene == "mountains" and rng.random() < 0.6):
        image = draw_ground(rng, image, horizon, sky.horizon, unit)
        if rng.random() < 0.85:
            scatter(rng, image, horizon, unit)
    if scene not in ("sky", "mountains") and rng.random() < 0.55:
        image = draw_trees(rng, image, unit)
    light = Light((-0.55 * sun, 0.7, 0.5), float(rng.uniform(0.62, 0.82)))
    return _grade(rng, image, sky.brightness), light


def _draw_sky(
    rng: np.random.Generator, sky: Sky, width: int, height: int, sun: float, unit: float
) -> NDArray[np.uint8]:
    """A vertical gradient with a glow on the sun's side, and clouds that flatten towards the horizon."""
    small_w, small_h = -(-width // 2), -(-height // 2)
    y = np.linspace(0, 1.35, small_h, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, small_w, dtype=np.float32)[None, :]
    tilt = y + 0.12 * sun * x + 0.015 * smooth_noise(rng, small_w, small_h, 200 * unit, 2)
    table = ramp([(0.0, sky.zenith), (0.55, sky.middle), (1.0, sky.horizon)])
    image = colourise(tilt, table, 0.0, 1.1)
    cover = rng.uniform(*sky.cover)
    if cover > 0.05:
        image = _add_clouds(rng, image, sky, cover, sun, unit / 2)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def _add_clouds(
    rng: np.random.Generator, image: NDArray[np.uint8], sky: Sky, cover: float, sun: float, unit: float
) -> NDArray[np.uint8]:
    """Clouds from fractal noise, lit from the sun's side and above, thinner edges more transparent."""
    height, width = image.shape[:2]
    soft = rng.uniform(0.15, 0.7)
    density = smooth_noise(rng, width, height, rng.uniform(130, 420) * unit, 7, rng.uniform(0.45, 0.6),
                           aspect=rng.uniform(1.3, 3.2))  # fmt: skip
    flat = np.linspace(-0.35, 0.25, height, dtype=np.float32)[:, None] * rng.uniform(-0.5, 1.0)
    density = density + flat
    threshold = float(np.quantile(density[::8, ::8], 1 - cover))
    mask = np.clip((density - threshold) / soft, 0, 1)
    mask = mask * mask * (3 - 2 * mask)
    shift = int(max(8 * unit * 2, 1))
    move = np.array([[1, 0, sun * shift], [0, 1, -1.4 * shift]], np.float32)
    lit = density - cv2.warpAffine(density, move, (width, height), borderMode=cv2.BORDER_REFLECT)
    shade = 0.5 + 0.9 * lit - 0.3 * (density - threshold)
    clouds = colourise(shade, ramp([(0, sky.cloud_shade), (1, sky.cloud_lit)]), -0.1, 0.9)
    return blend(image, clouds, mask.astype(np.float32) * np.float32(rng.uniform(0.8, 1.0)))


def _grade(rng: np.random.Generator, image: NDArray[np.uint8], brightness: float) -> NDArray[np.uint8]:
    """Exposure, contrast, white balance, a slight vignette and film grain, as cameras add them."""
    contrast, gamma = rng.uniform(0.95, 1.35), rng.uniform(0.7, 1.0)
    balance = rng.normal(1, 0.025, 3)
    level = np.arange(256) / 255
    curve = (
        np.clip((level**gamma - 0.5) * contrast + 0.5, 0, 1)[:, None] * balance * (brightness * rng.uniform(0.9, 1.08))
    )
    image = cv2.LUT(image, (np.clip(curve, 0, 1) * 255).round().astype(np.uint8)[None])
    height, width = image.shape[:2]
    if rng.random() < 0.5:
        x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
        edge = 1 - np.float32(rng.uniform(0.08, 0.3)) * (x[None, :] ** 2 + y[:, None] ** 2) / 2
        image = cv2.multiply(image, cv2.merge([edge.astype(np.float32)] * 3), dtype=cv2.CV_8U)
    return _add_grain(rng, image, rng.uniform(1.0, 4.0))


def _add_grain(rng: np.random.Generator, image: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    """Fine luminance grain of about `strength` levels, the same in the three channels."""
    height, width = image.shape[:2]
    pool = rng.integers(0, 256, height * width + 4096, np.uint8)
    first, second = (int(rng.integers(4096)) for _ in range(2))
    grain = pool[first : first + height * width].astype(np.int16) + pool[second : second + height * width] - 255
    grain = (grain * np.float32(strength / 104.0)).round().astype(np.int16).reshape(height, width)
    return cv2.add(image, cv2.merge([grain] * 3), dtype=cv2.CV_8U)
