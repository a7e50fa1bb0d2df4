"""The lower half of a landscape: ridges of rock, forest or hills, ground in perspective, water, near trees."""

import cv2
import numpy as np
from numpy.typing import NDArray

from data.backgrounds_noise import blend, colourise, ramp, relief, ridge_line, smooth_noise

RGB = tuple[float, float, float]
_Image = NDArray[np.uint8]

ROCKS = (
    ((44, 42, 42), (112, 104, 96), (178, 168, 152)),
    ((58, 40, 28), (130, 92, 62), (196, 158, 116)),
    ((30, 34, 42), (74, 84, 98), (140, 150, 162)),
    ((50, 38, 34), (120, 96, 84), (190, 172, 156)),
)
GREENS = (
    ((10, 22, 10), (38, 62, 26), (92, 118, 52)),
    ((14, 20, 12), (48, 58, 30), (112, 112, 62)),
    ((8, 18, 14), (26, 50, 36), (70, 98, 70)),
    ((34, 22, 10), (104, 62, 24), (184, 122, 52)),  # autumn
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
    """Several ridges one behind another, paler with distance; the nearest reaches the bottom of the picture."""
    height, width = image.shape[:2]
    count = int(rng.integers(2, 5))
    tall = {"mountains": 0.34, "lake": 0.26, "hills": 0.12, "forest": 0.16}[scene] * height
    palette = ROCKS[rng.integers(len(ROCKS))] if scene in ("mountains", "lake") else GREENS[rng.integers(len(GREENS))]
    snow = scene in ("mountains", "lake") and rng.random() < 0.45
    thickness = rng.uniform(0.25, 0.85)
    for index in range(count):
        near = (index + 1) / count
        rough = 0.58 if scene in ("mountains", "lake") and near < 0.9 else 0.42
        line = ridge_line(rng, width, rough, width * rng.uniform(0.25, 0.6))
        base = horizon - tall * (1 - near) * 0.9
        top = base - tall * (0.55 - 0.3 * near) * (1 + line)
        if scene == "forest" or (near > 0.7 and rng.random() < 0.6):
            top = top - _tree_tops(rng, width, (5 + 22 * near**2) * unit)
            layer = _foliage(rng, width, height, GREENS[rng.integers(len(GREENS))], sun, unit * (0.35 + 0.65 * near))
        else:
            layer = _slopes(rng, width, height, palette, sun, unit, top if snow and near < 0.8 else None)
        image = _lay(image, layer, top, haze, thickness * (1 - near) ** 0.8)
    return image


def _lay(image: _Image, layer: _Image, top: NDArray[np.float32], haze: RGB, amount: float) -> _Image:
    """Lay `layer` over the picture below the outline `top` (W,), mixed with `haze` by `amount`, more so lower down."""
    height, width = image.shape[:2]
    first = int(np.clip(np.floor(top.min()) - 1, 0, height - 1))
    rows = np.arange(first, height, dtype=np.float32)[:, None]
    mask = np.clip(rows - top[None, :] + 0.5, 0, 1).astype(np.float32)
    layer = layer[first:]
    if amount > 0.02:
        veil = np.empty_like(layer)
        veil[:] = np.array(haze, np.uint8)
        layer = cv2.addWeighted(layer, 1 - amount, veil, amount, 0)
    result = image.copy()
    result[first:] = blend(image[first:], layer, mask)
    return result


def _slopes(
    rng: np.random.Generator, width: int, height: int, palette: tuple[RGB, RGB, RGB], sun: float, unit: float,
    snow_line: NDArray[np.float32] | None,
) -> _Image:  # fmt: skip
    """Mountain or hill sides lit from one side, snow above an uneven line under the ridge if asked for."""
    field = smooth_noise(rng, width, height, rng.uniform(160, 320) * unit, 7, 0.52, aspect=rng.uniform(0.7, 1.4))
    light = relief(field, sun, 2.2) + 0.25 * field
    image = colourise(light, ramp([(0, palette[0]), (0.5, palette[1]), (1, palette[2])]), -1.5, 1.5)
    if snow_line is not None:
        depth = float(np.ptp(snow_line)) * rng.uniform(0.35, 0.9) + 30 * unit
        below = np.arange(height, dtype=np.float32)[:, None] - snow_line[None, :]
        cover = np.clip(1.6 - 2.2 * below / depth + 0.8 * field + 0.5 * light, 0, 1).astype(np.float32)
        white = colourise(light, ramp([(0, (112, 130, 160)), (0.55, (216, 224, 234)), (1, (254, 254, 255))]), -1.5, 1.3)
        image = blend(image, white, cover)
    return image


def _foliage(
    rng: np.random.Generator, width: int, height: int, palette: tuple[RGB, RGB, RGB], sun: float, unit: float
) -> _Image:
    """Crowns of a forest seen from afar: round clumps lit from above over large light and dark patches."""
    crowns = smooth_noise(rng, width, height, 34 * unit, 5, 0.72)
    patches = smooth_noise(rng, width, height, 260 * unit, 3, 0.5, aspect=1.6)
    light = 0.55 * crowns + 0.5 * relief(crowns, sun, 0.35) + 0.45 * patches
    return colourise(light, ramp([(0, palette[0]), (0.55, palette[1]), (1, palette[2])]), -1.3, 1.7)


def _tree_tops(rng: np.random.Generator, width: int, size: float) -> NDArray[np.float32]:
    """(W,) height in pixels that conifers or round crowns of about `size` add to an outline."""
    spacing = max(size * 0.45, 2.0)
    count = int(width / spacing) + 3
    centres = (np.arange(count) + rng.uniform(-0.4, 0.4, count)) * spacing
    tall = size * rng.uniform(0.5, 1.25, count)
    places = np.arange(width)
    nearest = np.clip(np.searchsorted(centres, places), 1, count - 1)
    tops = np.zeros(width)
    pointed = rng.random() < 0.6
    for offset in (-1, 0):
        which = nearest + offset
        away = np.abs(places - centres[which]) / (spacing * 0.75)
        shape = np.maximum(1 - away, 0) if pointed else np.sqrt(np.maximum(1 - away**2, 0))
        tops = np.maximum(tops, tall[which] * shape)
    return tops.astype(np.float32)


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
    source = np.float32([[0, 0], [width, 0], [middle + half, tall], [middle - half, tall]])
    target = np.float32([[0, 0], [width, 0], [width, rows], [0, rows]])
    flat = cv2.warpPerspective(texture, cv2.getPerspectiveTransform(source, target), (width, rows),
                               borderMode=cv2.BORDER_REFLECT)  # fmt: skip
    fine = smooth_noise(rng, width, rows, 14 * unit, 4, 0.8, aspect=2.0)
    flat = flat + fine * np.linspace(0.1, 0.7, rows, dtype=np.float32)[:, None]
    flat = flat + smooth_noise(rng, width, rows, 60 * unit, 3, 0.6, aspect=7.0) * 0.8
    ground = colourise(flat, ramp([(0, palette[0]), (0.5, palette[1]), (1, palette[2])]), -2.4, 2.4)
    line = ridge_line(rng, width, 0.4, width * 0.5) * 4 * unit
    full = np.concatenate([np.repeat(ground[:1], horizon, 0), ground])
    distance = np.linspace(1, 0, rows, dtype=np.float32)[:, None] ** 4 * np.float32(rng.uniform(0.2, 0.6))
    veil = np.empty_like(ground)
    veil[:] = np.array(haze, np.uint8)
    full[horizon:] = blend(ground, veil, np.repeat(distance, width, 1))
    return _lay(image, full, horizon + line, haze, 0.0)


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


def draw_trees(rng: np.random.Generator, image: _Image, unit: float) -> _Image:
    """A near tree or bush leaning in from one side or along the bottom, leaves against whatever is behind."""
    height, width = image.shape[:2]
    palette = GREENS[rng.integers(len(GREENS))]
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    if rng.random() < 0.5:
        side = x if rng.random() < 0.5 else 1 - x
        shape = rng.uniform(0.14, 0.3) - side - 0.12 * (y - rng.uniform(0.3, 0.7)) ** 2
    else:
        shape = y - rng.uniform(0.8, 0.92) + 0.0 * x
    leaves = smooth_noise(rng, width, height, 120 * unit, 6, 0.68)
    mask = np.clip((shape * 9 + 0.55 * leaves) * 3.5, 0, 1).astype(np.float32)
    crowns = _foliage(rng, width, height, palette, 1.0, unit * 0.9)
    return blend(image, crowns, mask)
