"""Draw one scene: background, targets, sensor, boxes. Everything in it follows from (seed, index) alone."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.images import read_image
from core.values import AnnotatedImage, Annotation, Box
from data.scenes.cutouts import paste_size, read_cutout, turn_cutout
from data.scenes.landscapes import draw_background
from data.scenes.layout import Layout, choose_absent, choose_captions, choose_further, choose_size, place_box
from data.scenes.palette import parse_caption
from data.scenes.targets import Light, draw_target, mask_box


@dataclass(frozen=True)
class SceneSettings:
    """What `draw_scene` needs, all of it plain values that travel to worker processes."""

    seed: int
    layout: Layout
    grid: int = 1  # boxes are multiples of this many pixels; 4 in the published file
    noise: str = "none"  # none, v1 or v2
    backgrounds: tuple[Path, ...] = ()
    cutouts: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    loose_boxes: bool = False  # box = the pasted rectangle, transparent corners included (cutouts only)


def draw_scene(
    settings: SceneSettings, index: int, given: AnnotatedImage | None = None
) -> tuple[NDArray[np.uint8], list[Annotation]]:
    """Scene number `index`: (H, W, 3) uint8 RGB and its annotations, boxes in pixels.

    With `given`, that image's captions are drawn into that image's boxes, and its annotations come back unchanged.
    """
    rng = np.random.default_rng([settings.seed, index])
    image, light = _background(settings, rng)
    if given is not None:
        annotations = list(given.annotations)
        first = dict(reversed([(box, caption) for caption, box in given.pairs]))  # of several captions the first
        for box in given.targets:
            _fill_box(image, first[box], box, settings, light, rng)
    else:
        annotations = _add_targets(image, settings, light, rng)
        if settings.layout.several or settings.layout.absent:
            further = np.random.default_rng([settings.seed, index, 1])  # of its own: the rest stays as it is without
            annotations = _add_further(image, settings, light, annotations, further)
    if settings.noise != "none":
        from data.augment.renderings import add_sensor_noise  # imports albumentations, which takes a second

        image = add_sensor_noise(image, settings.noise, int(rng.integers(2**31)))
    return image, annotations


def _background(settings: SceneSettings, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Light]:
    width, height = settings.layout.size
    if not settings.backgrounds:
        return draw_background(rng, width, height)
    photo = _photo(settings.backgrounds[rng.integers(len(settings.backgrounds))], width, height)
    photo = photo[:, ::-1] if rng.random() < 0.5 else photo
    return np.ascontiguousarray(photo).copy(), Light((rng.choice([-0.5, 0.5]), 0.7, 0.5), rng.uniform(0.62, 0.82))


@lru_cache(maxsize=16)
def _photo(path: Path, width: int, height: int) -> NDArray[np.uint8]:
    """A photograph resized to cover the image and cut to its centre."""
    photo = read_image(path)
    scale = max(width / photo.shape[1], height / photo.shape[0])
    size = max(round(photo.shape[1] * scale), width), max(round(photo.shape[0] * scale), height)
    photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return photo[top : top + height, left : left + width]


def _add_targets(
    image: NDArray[np.uint8], settings: SceneSettings, light: Light, rng: np.random.Generator
) -> list[Annotation]:
    """Choose, draw and place the image's own targets; one that finds no free place is left out."""
    taken: list[Box] = []
    captions = choose_captions(settings.layout, rng)
    placed = [(caption, _add_target(image, caption, taken, settings, light, rng)) for caption in captions]
    return [Annotation(caption, (box,)) for caption, box in placed if box is not None]


def _add_target(
    image: NDArray[np.uint8],
    caption: str,
    taken: list[Box],
    settings: SceneSettings,
    light: Light,
    rng: np.random.Generator,
) -> Box | None:
    """Draw and place one target apart from the boxes `taken`, which its own joins; None when no place is free."""
    sprite = _free_sprite(caption, settings, light, rng)
    loose = settings.loose_boxes and bool(settings.cutouts)
    inside = (0, 0, sprite.shape[1], sprite.shape[0]) if loose else mask_box(sprite[..., 3])
    size = sprite.shape[1], sprite.shape[0]
    place = place_box(settings.layout, size, taken, rng, window=bool(settings.cutouts))
    if place is None:
        return None
    grid = settings.grid
    left, top = place[0] // grid * grid, place[1] // grid * grid
    _paste(image, sprite, left, top, rng)
    taken.append((left + inside[0], top + inside[1], inside[2], inside[3]))
    return taken[-1]


def _add_further(
    image: NDArray[np.uint8],
    settings: SceneSettings,
    light: Light,
    annotations: list[Annotation],
    rng: np.random.Generator,
) -> list[Annotation]:
    """Give some captions further targets, and add captions that describe nothing, as the layout says."""
    captions = [annotation.caption for annotation in annotations]
    boxes = {annotation.caption: annotation.boxes_ltwh for annotation in annotations}
    taken = [box for own in boxes.values() for box in own]
    for caption in choose_further(settings.layout, captions, rng):
        box = _add_target(image, caption, taken, settings, light, rng)
        if box is not None:
            boxes[caption] += (box,)
    absent = choose_absent(settings.layout, captions, rng)
    return [Annotation(c, own) for c, own in boxes.items()] + [Annotation(caption, ()) for caption in absent]


def _free_sprite(caption: str, settings: SceneSettings, light: Light, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One target as RGBA at a size of its own; its sides are multiples of the grid when there is one."""
    if settings.cutouts:
        pasted = _on_grid(paste_size(settings.layout.size, rng), settings.grid)
        return turn_cutout(_cutout(caption, settings, rng), pasted, rng, tight_first=not settings.loose_boxes)
    livery = parse_caption(caption)
    size = choose_size(settings.layout, rng)
    if settings.grid == 1:
        return draw_target(livery, size, rng, light)
    return draw_target(livery, _on_grid(size, settings.grid), rng, light, exact=True)


def _on_grid(size: tuple[float, float], grid: int) -> tuple[int, int]:
    """Width and height rounded to multiples of `grid`, at least one each."""
    return max(round(size[0] / grid), 1) * grid, max(round(size[1] / grid), 1) * grid


def _cutout(caption: str, settings: SceneSettings, rng: np.random.Generator) -> NDArray[np.uint8]:
    paths = settings.cutouts.get(" ".join(caption.lower().split()))
    if not paths:
        raise InputError(f"caption {caption!r}: no cutout of that name in the folder given as 'cutouts'")
    return read_cutout(paths[rng.integers(len(paths))])


def _fill_box(
    image: NDArray[np.uint8],
    caption: str,
    box: Box,
    settings: SceneSettings,
    light: Light,
    rng: np.random.Generator,
) -> None:
    """Draw a caption's target so that its mask fills the box; parts outside the image are cut off."""
    left, top, width, height = (round(value) for value in box)
    size = max(width, 1), max(height, 1)
    if settings.cutouts:
        sprite = turn_cutout(_cutout(caption, settings, rng), size, rng, tight_first=True)
    else:
        sprite = draw_target(parse_caption(caption), size, rng, light, exact=True)
    _paste(image, sprite, left, top, rng)


def _paste(image: NDArray[np.uint8], sprite: NDArray[np.uint8], left: int, top: int, rng: np.random.Generator) -> None:
    """Blend a sprite into the image in place, a little hazed by what is behind it and as soft as the lens is."""
    haze, softness = rng.uniform(0, 0.16), rng.uniform(0, 0.55)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + sprite.shape[1], image.shape[1]), min(top + sprite.shape[0], image.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    under = image[y0:y1, x0:x1].astype(np.float32)
    part = sprite[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.float32)
    alpha = part[..., 3:] / 255
    colour = part[..., :3] * (1 - haze) + under.mean((0, 1)) * haze
    mixed = under * (1 - alpha) + colour * alpha
    if softness > 0.25:
        mixed = np.where(alpha > 0, cv2.GaussianBlur(mixed, (3, 3), softness).reshape(mixed.shape), mixed)
    image[y0:y1, x0:x1] = np.clip(mixed, 0, 255).round().astype(np.uint8)
