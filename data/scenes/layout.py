"""Where targets go: how many, which captions, how large, and where in the image."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.errors import InputError
from core.values import Box
from data.scenes.palette import Livery, parse_caption

# Spread (standard deviation of the logarithm) of box sides in the published annotation file.
WIDTH_SPREAD, HEIGHT_SPREAD, SIDE_CORRELATION = 0.44, 0.33, 0.21
MARGIN = 4  # pixels kept free between the boxes of one image


@dataclass(frozen=True)
class Layout:
    """What `plan_scene` keeps to: image and median target sizes (width, height) in pixels, counts, captions."""

    size: tuple[int, int]
    target_size: tuple[float, float]
    num_targets: tuple[int, int]
    same_kind: float
    captions: tuple[str, ...]
    several: float = 0.0
    absent: float = 0.0


def choose_captions(layout: Layout, rng: np.random.Generator) -> list[str]:
    """Three to eight (by setting) captions for one image, no two of one kind with the same set of colours.

    Each caption after the first repeats, with probability `same_kind`, a kind that is already there in other colours:
    without such distractors a caption's colours would mean nothing.
    """
    liveries = [_livery(caption) for caption in layout.captions]
    count = int(rng.integers(layout.num_targets[0], layout.num_targets[1] + 1))
    chosen: list[int] = []
    while len(chosen) < count:
        free = [i for i, livery in enumerate(liveries) if not any(_alike(livery, liveries[j]) for j in chosen)]
        kinds = {liveries[j].kind for j in chosen}
        twins = [i for i in free if liveries[i].kind in kinds]
        if twins and rng.random() < layout.same_kind:
            free = twins
        if not free:
            break
        kind = str(rng.choice(sorted({liveries[i].kind for i in free})))
        chosen.append(int(rng.choice([i for i in free if liveries[i].kind == kind])))
    rng.shuffle(chosen)
    return [layout.captions[i] for i in chosen]


def choose_further(layout: Layout, captions: list[str], rng: np.random.Generator) -> list[str]:
    """The captions of further targets: each of `captions` with the chance `several` once or twice more."""
    return [caption for caption in captions if rng.random() < layout.several for _ in range(int(rng.integers(1, 3)))]


def choose_absent(layout: Layout, captions: list[str], rng: np.random.Generator) -> list[str]:
    """Captions that describe nothing in an image of `captions`, which are those of its targets.

    One for each of them with the chance `absent`; none is of the kind and the set of colours of another.
    """
    liveries = [_livery(caption) for caption in layout.captions]
    taken = [_livery(caption) for caption in captions]
    absent: list[str] = []
    for _ in range(sum(rng.random() < layout.absent for _ in captions)):
        free = [i for i, livery in enumerate(liveries) if not any(_alike(livery, other) for other in taken)]
        if not free:
            break
        place = int(rng.choice(free))
        taken.append(liveries[place])
        absent.append(layout.captions[place])
    return absent


@lru_cache(maxsize=4096)
def _livery(caption: str) -> Livery:
    """The caption's livery; words of a user's own cutouts that name no known kind count as a kind of their own."""
    try:
        return parse_caption(caption)
    except InputError:
        return Livery(caption, ())


def _alike(one: Livery, other: Livery) -> bool:
    return one.kind == other.kind and set(one.colours) == set(other.colours) and one.camouflage == other.camouflage


def choose_size(layout: Layout, rng: np.random.Generator) -> tuple[float, float]:
    """A box's width and height in pixels, log-normal about the median with the published spread."""
    first, second = rng.standard_normal(2)
    second = SIDE_CORRELATION * first + np.sqrt(1 - SIDE_CORRELATION**2) * second
    width = layout.target_size[0] * np.exp(WIDTH_SPREAD * np.clip(first, -2.2, 2.4))
    height = layout.target_size[1] * np.exp(HEIGHT_SPREAD * np.clip(second, -2.2, 2.4))
    most = 0.45 * min(layout.size)
    return float(np.clip(width, 4, most)), float(np.clip(height, 4, most))


def place_box(
    layout: Layout, size: tuple[int, int], taken: list[Box], rng: np.random.Generator, *, window: bool = False
) -> tuple[int, int] | None:
    """Left and top of a free place for a box of `size`; None if none is found.

    More often near the middle and above it, as in the published annotation file; with `window` anywhere in the middle
    80 % of width and height, as the published generator places its cutouts.
    """
    room_x, room_y = layout.size[0] - size[0], layout.size[1] - size[1]
    if room_x < 0 or room_y < 0:
        return None
    for _ in range(80):
        if window:
            left, top = (int(full * 0.1 + rng.random() * max(full * 0.8 - side, 0)) for full, side in
                         zip(layout.size, size, strict=True))  # fmt: skip
        else:
            left, top = int(rng.beta(1.8, 1.8) * (room_x + 1)), int(rng.beta(1.5, 2.1) * 0.92 * (room_y + 1))
        left, top = min(left, room_x), min(top, room_y)
        box = (left - MARGIN, top - MARGIN, size[0] + 2 * MARGIN, size[1] + 2 * MARGIN)
        if not any(_overlap(box, other) for other in taken):
            return left, top
    return None


def _overlap(one: Box, other: Box) -> bool:
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )
