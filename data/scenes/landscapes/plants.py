"""What grows on a landscape: forest crowns, tree lines, near trees, and scattered bushes, trees and rocks."""

import cv2
import numpy as np
from numpy.typing import NDArray

from data.scenes.landscapes.cloth import blend, colourise, even, ramp, relief, smooth_noise

RGB = tuple[float, float, float]
_Image = NDArray[np.uint8]

GREENS = (
    ((10, 22, 10), (38, 62, 26), (92, 118, 52)),
    ((14, 20, 12), (48, 58, 30), (112, 112, 62)),
    ((8, 18, 14), (26, 50, 36), (70, 98, 70)),
    ((44, 26, 10), (124, 72, 24), (204, 140, 60)),  # autumn
)
STONES = (
    ((44, 42, 40), (120, 114, 106), (206, 200, 190)),
    ((58, 46, 36), (134, 110, 86), (214, 192, 162)),
)


def foliage(
    rng: np.random.Generator, width: int, height: int, palette: tuple[RGB, RGB, RGB], sun: float, unit: float
) -> _Image:
    """Crowns of a forest seen from afar: domes of uneven height lit from above, over large light and dark patches.

    A crown is the neighbourhood of a random point; its dome falls off with the square of the distance to that point.
    """
    size = max(rng.uniform(12, 30) * unit, 3.0)
    count = int(width * height / size**2) + 1
    open_ground = np.ones((height, width), np.uint8)
    open_ground[rng.integers(0, height, count), rng.integers(0, width, count)] = 0
    away, owner = cv2.distanceTransformWithLabels(open_ground, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    own = rng.normal(0, 0.35, count + 2).astype(np.float32)[owner]
    dome = np.float32(-1.0 / size**2) * away * away
    crowns = _ragged(rng, np.float32(0.5) * even(relief(dome, sun)) + dome + own, 0.35 * size)
    leaves = smooth_noise(rng, width, height, max(0.3 * size, 3), 3, 0.9)
    patches = smooth_noise(rng, width, height, 200 * unit, 4, 0.6, aspect=1.6)
    light = crowns + np.float32(0.5) * leaves + np.float32(0.5) * patches
    return colourise(light, ramp([(0, palette[0]), (0.5, palette[1]), (1, palette[2])]), -1.8, 1.8)


def _ragged(rng: np.random.Generator, field: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """The field with its edges shaken by up to about `reach` pixels, so that nothing in it is straight."""
    height, width = field.shape
    coarse = max(2.5 * reach, 4)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x += np.float32(reach) * smooth_noise(rng, width, height, coarse, 3, 0.7)
    y += np.float32(reach) * smooth_noise(rng, width, height, coarse, 3, 0.7)
    return np.asarray(cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.float32)


def tree_tops(rng: np.random.Generator, width: int, size: float) -> NDArray[np.float32]:
    """(W,) height in pixels that conifers or uneven round crowns of about `size` add to an outline."""
    places = np.arange(width)
    if rng.random() < 0.45:
        crowns = smooth_noise(rng, width, 1, max(size * 1.6, 3), 4, 0.62)[0]
        return np.asarray(size * (0.5 + 0.5 * np.abs(crowns)), np.float32)
    spacing = max(size * 0.4, 2.0)
    count = int(width / spacing) + 3
    centres = (np.arange(count) + rng.uniform(-0.45, 0.45, count)) * spacing
    tall = size * rng.uniform(0.3, 1.3, count) * (1 + 0.3 * np.sin(np.arange(count) * rng.uniform(0.1, 0.6)))
    nearest = np.clip(np.searchsorted(centres, places), 1, count - 1)
    tops = np.zeros(width)
    for which in (nearest - 1, nearest):
        away = np.abs(places - centres[which]) / (spacing * 0.7)
        tops = np.maximum(tops, tall[which] * np.maximum(1 - away, 0))
    return tops.astype(np.float32)


def scatter(rng: np.random.Generator, image: _Image, horizon: int, unit: float) -> None:
    """Bushes, small trees and rocks over the ground, larger towards the viewer; drawn into the image."""
    height, width = image.shape[:2]
    rows = height - horizon
    if rows < 20:
        return
    kinds = [_clump(rng, GREENS[rng.integers(len(GREENS))], tall) for tall in (0.7, 1.0, 1.7)]
    kinds += [_clump(rng, STONES[rng.integers(len(STONES))], 0.6) for _ in range(2)]
    weights = rng.dirichlet(np.full(len(kinds), 0.7))
    count = int(rng.choice([30, 90, 200]) * rng.uniform(0.5, 1.5))
    depth = np.sort(rng.beta(0.9, 1.6, count))
    for share, kind in zip(depth, rng.choice(len(kinds), count, p=weights), strict=True):
        size = unit * (5 + 100 * share**1.2) * rng.uniform(0.4, 1.2)
        x = int(rng.normal(rng.choice([0.2, 0.5, 0.8]), 0.25) * width)
        _stamp(image, kinds[kind], size, x, int(horizon + share * rows))


def _clump(rng: np.random.Generator, palette: tuple[RGB, RGB, RGB], tall: float) -> NDArray[np.float32]:
    """(96 * tall, 96, 4) float32 RGBA of one bush, tree or rock: a ragged round, lit from above, premultiplied."""
    width, height = 96, int(96 * tall)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    ragged = smooth_noise(rng, width, height, 40, 5, 0.75)
    mask = np.clip((0.8 - np.sqrt(x * x + y * y) + 0.28 * ragged) * 7, 0, 1)
    light = 0.7 * ragged + relief(ragged, float(rng.choice([-1, 1])), 0.6) - 0.8 * y
    colour = colourise(light.astype(np.float32), ramp([(0, palette[0]), (0.5, palette[1]), (1, palette[2])]), -1.6, 1.6)
    shadow = 0.55 * np.exp(-((x / 0.8) ** 2) - ((y - 0.86) / 0.16) ** 2)
    alpha = mask + (1 - mask) * shadow
    return np.dstack([colour.astype(np.float32) * mask[..., None], alpha * 255]).astype(np.float32)


def _stamp(image: _Image, clump: NDArray[np.float32], size: float, x: int, foot: int) -> None:
    """Blend a clump `size` pixels wide into the image with its foot at row `foot`; cut at the edges."""
    wide = max(round(size), 2)
    high = max(round(size * clump.shape[0] / clump.shape[1]), 2)
    left, top = x - wide // 2, foot - high
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + wide, image.shape[1]), min(top + high, image.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    small = cv2.resize(clump, (wide, high), interpolation=cv2.INTER_AREA)[y0 - top : y1 - top, x0 - left : x1 - left]
    part = image[y0:y1, x0:x1]
    part[:] = (part * (1 - small[..., 3:] / 255) + small[..., :3]).astype(np.uint8)


def draw_trees(rng: np.random.Generator, image: _Image, unit: float) -> _Image:
    """A near tree or bush leaning in from one side or along the bottom, leaves against whatever is behind."""
    height, width = image.shape[:2]
    palette = GREENS[rng.integers(len(GREENS))]
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    if rng.random() < 0.5:
        side = x if rng.random() < 0.5 else 1 - x
        shape = rng.uniform(0.12, 0.26) - side - 0.12 * (y - rng.uniform(0.3, 0.7)) ** 2
    else:
        shape = y - rng.uniform(0.8, 0.92) + 0.0 * x
    leaves = smooth_noise(rng, width, height, 140 * unit, 7, 0.74)
    mask = np.clip((shape * 8 + 0.8 * leaves) * 4, 0, 1).astype(np.float32)
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if len(rows):
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        mask = np.ascontiguousarray(mask[part])
        crowns = foliage(rng, mask.shape[1], mask.shape[0], palette, 1.0, unit * 0.45)
        image[part] = blend(np.ascontiguousarray(image[part]), crowns, mask)
    return image
