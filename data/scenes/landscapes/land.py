"""The lower half of a landscape: ridges of rock, forest or hills, ground in perspective, water, near trees."""

import cv2
import numpy as np
from numpy.typing import NDArray

from data.scenes.landscapes.cloth import blend, colourise, even, ramp, relief, ridge_line, smooth_noise
from data.scenes.landscapes.plants import GREENS, foliage, tree_tops

RGB = tuple[float, float, float]
_Image = NDArray[np.uint8]

ROCKS = (
    ((44, 42, 42), (112, 104, 96), (178, 168, 152)),
    ((58, 40, 28), (130, 92, 62), (196, 158, 116)),
    ((30, 34, 42), (74, 84, 98), (140, 150, 162)),
    ((50, 38, 34), (120, 96, 84), (190, 172, 156)),
)
GROUNDS = (
    ((30, 50, 14), (74, 104, 34), (138, 160, 72)),  # meadow
    ((70, 56, 26), (148, 124, 66), (206, 184, 122)),  # dry grass
    ((58, 40, 26), (112, 82, 54), (160, 128, 92)),  # ploughed soil
    ((136, 100, 62), (196, 158, 108), (232, 204, 160)),  # desert
    ((150, 162, 178), (214, 222, 230), (250, 250, 252)),  # snow
    ((40, 44, 22), (96, 100, 46), (176, 168, 92)),  # stubble
)


def draw_ridges(
    rng: np.random.Generator, image: _Image, scene: str, horizon: int, sun: float, haze: RGB, unit: float
) -> _Image:
    """Several ridges one behind another, paler with distance; the nearest reaches the bottom of the image."""
    height, width = image.shape[:2]
    count = int(rng.integers(2, 5))
    tall = {"mountains": 0.34, "lake": 0.26, "hills": 0.12, "forest": 0.16, "cliff": 0.5}[scene] * height
    rocky = scene in ("mountains", "lake", "cliff")
    palette = ROCKS[rng.integers(len(ROCKS))] if rocky else GREENS[rng.integers(len(GREENS))]
    snow = rocky and rng.random() < 0.45
    thickness = rng.uniform(0.1, 0.65)
    ridges = []
    for index in range(count):
        near = (index + 1) / count
        rough = 0.58 if rocky and (near < 0.9 or scene == "cliff") else 0.42
        line = ridge_line(rng, width, rough, width * rng.uniform(0.25, 0.6))
        base = horizon - tall * (1 - near) * 0.9
        top = base - tall * (0.55 - 0.3 * near) * (1 + line)
        wooded = scene == "forest" or (near > 0.7 and scene != "cliff" and rng.random() < 0.6)
        if wooded:
            top = top - tree_tops(rng, width, (5 + 22 * near**2) * unit)
        ridges.append((near, top, wooded))
    below = [*(int(min(top.max() for _, top, _ in ridges[i + 1 :])) + 2 for i in range(count - 1)), height]
    for (near, top, wooded), bottom in zip(ridges, below, strict=True):
        first = int(np.clip(np.floor(top.min()) - 1, 0, height - 1))
        rows = int(np.clip(bottom - first, 2, height - first))  # what nearer ridges leave to see
        if wooded:
            layer = foliage(rng, width, rows, GREENS[rng.integers(len(GREENS))], sun, unit * (0.35 + 0.65 * near))
        else:
            layer = _slopes(rng, width, rows, palette, sun, unit, top - first if snow and near < 0.8 else None)
        _lay(image, layer, top, first, haze, thickness * (1 - near) ** 0.8)
    return image


def _lay(
    image: _Image, layer: _Image, top: NDArray[np.float32], first: int, haze: RGB, amount: float
) -> None:  # fmt: skip
    """Lay `layer`, whose first row is row `first`, into the image below the outline `top` (W,), hazed by `amount`."""
    last = first + layer.shape[0]
    rows = np.arange(first, last, dtype=np.float32)[:, None]
    mask = np.clip(rows - top[None, :] + 0.5, 0, 1).astype(np.float32)
    if amount > 0.02:
        veil = np.empty_like(layer)
        veil[:] = np.array(haze, np.uint8)
        layer = cv2.addWeighted(layer, 1 - amount, veil, amount, 0)
    image[first:last] = blend(image[first:last], layer, mask)


def _slopes(
    rng: np.random.Generator, width: int, height: int, palette: tuple[RGB, RGB, RGB], sun: float, unit: float,
    snow_line: NDArray[np.float32] | None,
) -> _Image:  # fmt: skip
    """Mountain or hill sides: ridges and gullies lit from one side, with scrub or scree, and snow where it holds."""
    shape = smooth_noise(rng, width, height, rng.uniform(120, 300) * unit, 8, 0.56, aspect=rng.uniform(0.5, 1.6))
    ridges = -np.abs(shape) if rng.random() < 0.7 else shape
    light = even(relief(ridges, sun)) * np.float32(rng.uniform(0.6, 0.95)) + np.float32(0.5) * shape
    image = colourise(light, ramp([(0, palette[0]), (0.5, palette[1]), (1, palette[2])]), -1.5, 1.5)
    patches = smooth_noise(rng, width, height, rng.uniform(50, 120) * unit, 5, 0.62, aspect=1.5)
    if rng.random() < 0.7:
        scrub = GREENS[rng.integers(len(GREENS))]
        cover = np.clip((patches + 0.5 * shape - rng.uniform(0.1, 0.8)) * 3, 0, 0.9).astype(np.float32)
        image = blend(image, colourise(light, ramp([(0, scrub[0]), (0.6, scrub[1]), (1, scrub[2])]), -1.3, 1.5), cover)
    if snow_line is not None:
        depth = float(np.ptp(snow_line)) * rng.uniform(0.5, 1.1) + 40 * unit
        below = np.arange(height, dtype=np.float32)[:, None] - snow_line[None, :]
        cover = np.clip((1.1 - 1.3 * below / depth + 0.9 * patches + 0.8 * light) * 2.5, 0, 1).astype(np.float32)
        white = colourise(light, ramp([(0, (96, 116, 152)), (0.5, (206, 216, 230)), (1, (254, 254, 255))]), -1.3, 1.2)
        image = blend(image, white, cover)
    return image


def draw_ground(rng: np.random.Generator, image: _Image, horizon: int, haze: RGB, unit: float) -> _Image:
    """A plain in perspective from the horizon down: grass, stubble, soil with furrows, sand or snow."""
    height, width = image.shape[:2]
    rows = height - horizon
    if rows < 8:
        return image
    palette = GROUNDS[rng.integers(len(GROUNDS))]
    texture = smooth_noise(rng, width, rows * 2, 90 * unit, 7, 0.74, aspect=1.4)
    if rng.random() < 0.3:  # furrows run to the horizon
        along = np.arange(width, dtype=np.float32) + 6 * unit * smooth_noise(rng, width, 1, 60 * unit, 2)[0]
        texture += np.float32(rng.uniform(0.5, 1.0)) * np.sin(along * np.float32(0.9 / unit))[None, :]
    middle = width * rng.uniform(0.1, 0.9)
    tall = texture.shape[0]
    half = width * rng.uniform(0.05, 0.12)
    source = np.array([[0, 0], [width, 0], [middle + half, tall], [middle - half, tall]], np.float32)
    target = np.array([[0, 0], [width, 0], [width, rows], [0, rows]], np.float32)
    flat = cv2.warpPerspective(texture, cv2.getPerspectiveTransform(source, target), (width, rows),
                               borderMode=cv2.BORDER_REFLECT)  # fmt: skip
    fine = smooth_noise(rng, width, rows, 14 * unit, 4, 0.8, aspect=2.0)
    flat = flat + fine * np.linspace(0.15, 1.2, rows, dtype=np.float32)[:, None]
    flat = flat + smooth_noise(rng, width, rows, 60 * unit, 5, 0.7, aspect=5.0) * np.float32(rng.uniform(0.6, 1.3))
    ground = colourise(flat, ramp([(0, palette[0]), (0.5, palette[1]), (1, palette[2])]), -1.9, 1.9)
    distance = np.linspace(1, 0, rows, dtype=np.float32)[:, None] ** 4 * np.float32(rng.uniform(0.2, 0.6))
    veil = np.empty_like(ground)
    veil[:] = np.array(haze, np.uint8)
    ground = blend(ground, veil, np.repeat(distance, width, 1))
    line = ridge_line(rng, width, 0.4, width * 0.5)
    _lay(image, ground, horizon + 4 * unit * (line - line.min()), horizon, haze, 0.0)
    return image


def draw_water(rng: np.random.Generator, image: _Image, horizon: int, unit: float) -> _Image:
    """A lake or sea from the horizon down: the scene above mirrored, darkened, broken by flat ripples."""
    height, width = image.shape[:2]
    rows = height - horizon
    if rows < 8:
        return image
    mirror = image[max(horizon - rows, 0) : horizon][::-1]
    mirror = cv2.resize(mirror, (width, rows), interpolation=cv2.INTER_AREA)
    mirror = cv2.blur(mirror, (max(int(3 * unit), 1), max(int(rng.uniform(5, 30) * unit), 1)))
    ripples = smooth_noise(rng, width, rows, 26 * unit, 5, 0.7, aspect=rng.uniform(4, 9))
    near = np.linspace(0.25, 1.0, rows, dtype=np.float32)[:, None]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(rows, dtype=np.float32))
    push = ripples * near * np.float32(rng.uniform(3, 14) * unit)
    mirror = cv2.remap(mirror, x + push * 0.4, y + push, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    deep = np.array([(22, 38, 44), (20, 52, 76), (44, 52, 46), (12, 30, 58)][rng.integers(4)], np.float32)
    sheen = np.clip(0.28 + 0.16 * ripples * near, 0, 0.8) * np.float32(rng.uniform(0.6, 1.2))
    tint = np.empty_like(mirror)
    tint[:] = deep.astype(np.uint8)
    water = blend(mirror, tint, np.clip(0.55 - sheen, 0, 1).astype(np.float32))
    result = image.copy()
    result[horizon:] = water
    return result
