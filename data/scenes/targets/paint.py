"""Colours of a target's faces: solid, clear two- and three-colour liveries, and camouflage blotches."""

import numpy as np
from numpy.typing import NDArray

from data.scenes.palette import COLOURS, Livery
from data.scenes.targets.meshes import Part

FIXED: dict[int, tuple[float, float, float]] = {  # parts that no caption colours, RGB 0..255
    Part.GLASS: (38, 48, 62),
    Part.DARK: (44, 45, 48),
    Part.BLADE: (58, 60, 64),
    Part.METAL: (118, 121, 125),
}


PATTERNS = 3


def paint_faces(
    quads_F43: NDArray[np.float64],
    parts_F: NDArray[np.int64],
    seen_F: NDArray[np.float64],
    livery: Livery,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """(F, 3) RGB 0..255 before shading: the first colour covers most, the second clear patches, the third the ends.

    `seen_F` is how much of each face the camera sees, in any unit: the order of colours in a caption is their order
    by visible area, so the pattern is the one of the kind's that keeps it best.
    """
    anchors = [_anchor(name, rng) for name in livery.colours]
    middle_F3 = quads_F43.mean(1)
    if livery.camouflage:
        colours = _camouflage(middle_F3, anchors, rng)
    else:
        colours = np.broadcast_to(anchors[0], middle_F3.shape).copy()
        second, third = _best_pattern(livery, middle_F3, parts_F, seen_F, rng)
        if len(anchors) > 1:
            colours[second] = anchors[1]
        if len(anchors) > 2:
            colours[third] = anchors[2]
    for part, colour in FIXED.items():
        colours[parts_F == part] = colour
    return colours


def _anchor(name: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """One colour of the name: an anchor, a little brighter or darker, a little off in hue."""
    anchors = COLOURS[name]
    base = np.array(anchors[rng.integers(len(anchors))], np.float64)
    return np.clip(base * rng.uniform(0.92, 1.06) + rng.normal(0, 3, 3), 4, 250)


def _best_pattern(
    livery: Livery,
    middle_F3: NDArray[np.float64],
    parts_F: NDArray[np.int64],
    seen_F: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(F,) masks of the second and the third colour: a random pattern among those whose visible areas are in order."""
    painted = seen_F * ~np.isin(parts_F, list(FIXED))
    whole = painted.sum() + 1e-9
    options = []
    for choice in rng.permutation(PATTERNS):
        patch, ends = _patches(livery.kind, int(choice), middle_F3, parts_F)
        third = ends if len(livery.colours) > 2 else np.zeros_like(ends)
        for second in (patch & ~third, ~patch & ~third):  # from above, the patches may be the larger part
            two, three = painted[second].sum() / whole, painted[third].sum() / whole
            lacks = max(0.18 - two, 0) + max(two + 0.08 - (1 - two - three), 0)
            if len(livery.colours) > 2:
                lacks += max(0.10 - three, 0) + max(three - two, 0)
            options.append((lacks, second, third))
    return min(options, key=lambda option: option[0])[1:]


def _patches(
    kind: str, choice: int, middle_F3: NDArray[np.float64], parts_F: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(F,) masks of the second and the third colour for one of the kind's patterns."""
    x, y, z = middle_F3.T
    span = np.abs(y).max()
    fins, tail = parts_F == Part.FIN, parts_F == Part.TAIL
    if kind == "missile":
        second = [(x > 0.5) | fins, fins | tail | (np.abs(x - 0.1) < 0.16), (x < -0.35) | tail][choice]
        third = [np.abs(x + 0.1) < 0.2, x > 0.55, x > 0.5][choice]
    elif kind == "drone":
        arms = parts_F == Part.ARM
        second = [arms, arms & (np.hypot(x, y) > 0.45) | (np.abs(y) < 0.08), arms | (z < -0.02)][choice]
        third = [np.abs(y) < 0.09, (x > 0.12) & ~arms, (x < -0.16) & ~arms][choice]
    elif kind == "helicopter":
        boom = x < -0.42
        second = [boom | fins, (z < -0.05) & (x > -0.5) | fins, (np.abs(x + 0.12) < 0.16) | boom & (x < -0.7)][choice]
        third = [(np.abs(x - 0.05) < 0.14), boom, (x > 0.3)][choice]
    else:
        tips = (parts_F == Part.WING) & (np.abs(y) > 0.55 * span)
        wings = (parts_F == Part.WING) | tail
        engines = parts_F == Part.NACELLE
        rear = (x < -0.5) & (parts_F == Part.BODY)
        second = [wings, tips | fins | rear | engines, fins | tail | tips | (np.abs(x - 0.2) < 0.17) & ~wings][choice]
        third = [fins | rear, (x > 0.55) | tail, (x > 0.6) | rear & ~fins][choice]
    return second, third


def _camouflage(
    middle_F3: NDArray[np.float64], anchors: list[NDArray[np.float64]], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Blotches of two to four tones: the named colours, or shades of the one named."""
    waves_3K = rng.normal(0, 4.2, (3, 7))
    field_F = np.sin(middle_F3 @ waves_3K + rng.uniform(0, 6.3, 7)).sum(1)
    second_F = np.sin(middle_F3 @ rng.normal(0, 5.0, (3, 7)) + rng.uniform(0, 6.3, 7)).sum(1)
    if len(anchors) == 1:
        base = anchors[0]
        light, dark = np.clip(base * 1.45 + 22, 0, 235), base * 0.5
        colours = np.where((field_F > 0.5)[:, None], light, base)
        return np.where((second_F > 1.2)[:, None], dark, colours)
    colours = np.where((field_F > 0.15)[:, None], anchors[1], anchors[0])
    return np.where((second_F > 2.3)[:, None], anchors[-1] * 0.6 if len(anchors) < 3 else anchors[2], colours)
