"""Draw one target: a captioned flying object at any pose and size, with its alpha mask."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from data.scenes.palette import Livery
from data.scenes.targets.meshes import Disc, normals_of
from data.scenes.targets.models import VARIANTS, build_mesh
from data.scenes.targets.paint import paint_faces

ALPHA_SEEN = 24  # of 255: pixels at or above count as the object when its box is taken
_SHIFT = 4  # sub-pixel bits of OpenCV's polygon corners


@dataclass(frozen=True)
class Light:
    """Where light comes from, in camera axes (x right, y up, z towards the camera), and how much is ambient."""

    direction: tuple[float, float, float] = (-0.4, 0.75, 0.52)
    ambient: float = 0.65


@lru_cache(maxsize=32)
def _prepared(kind: str, variant: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """(F, 4, 3) corners, (F,) parts, (P, 3) points that bound the outline (rotor discs included) of a kind's mesh."""
    mesh = build_mesh(kind, variant)
    quads, parts = mesh.arrays()
    rings = [_ring(disc) for disc in mesh.discs]
    return quads, parts, np.unique(np.concatenate([quads.reshape(-1, 3), *rings]), axis=0)


def _ring(disc: Disc) -> NDArray[np.float64]:
    """(40, 3) points of a rotor disc's rim."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    first, second = np.flatnonzero(np.array(disc.normal) == 0)
    ring = np.tile(np.array(disc.centre, np.float64), (40, 1))
    ring[:, first] += disc.radius * np.cos(turn)
    ring[:, second] += disc.radius * np.sin(turn)
    return ring


def draw_target(
    livery: Livery,
    box_size: tuple[float, float],
    rng: np.random.Generator,
    light: Light,
    *,
    exact: bool = False,
) -> NDArray[np.uint8]:
    """Draw a target into about (or, with `exact`, exactly) `box_size` = (width, height) pixels.

    Returns (H, W, 4) uint8 RGBA, not premultiplied, cut tight round the drawn mask (alpha >= ALPHA_SEEN). The pose is
    the one of a handful of random poses whose proportions are nearest the box. With `exact` both sides are stretched
    to fit; otherwise the pose keeps its proportions and gets the box's area.
    """
    variant = int(rng.integers(VARIANTS))
    quads_F43, parts_F, points_P3 = _prepared(livery.kind, variant)
    stretch = rng.normal(1, 0.04, 3) * (1 - 2 * (rng.random() < 0.5) * np.array([0, 1, 0]))  # a mirror, and build
    rotation = _pose(livery.kind, points_P3 * stretch, box_size, rng)
    width, height = box_size
    factor = 4 if max(box_size) <= 220 else 2 if max(box_size) <= 800 else 1
    seen_P2 = (points_P3 * stretch) @ rotation[:2].T
    low, extent = seen_P2.min(0), np.ptp(seen_P2, 0) + 1e-9
    if exact:
        scale = np.array([width, height]) * factor / extent
    else:
        scale = np.full(2, np.sqrt(width * height / extent.prod()) * factor)
    wide, high = (int(side) for side in np.ceil(extent * scale / factor - 1e-6).clip(1) * factor)
    flipped = np.array([1.0, -1.0])  # image rows grow downwards
    origin = np.array([-low[0] * scale[0], high + low[1] * scale[1]])
    project = _Projection(rotation * stretch, scale * flipped, origin)
    faces_V, canvas_ids = _rasterise(quads_F43, project, (wide, high), mirrored=bool(np.prod(stretch) < 0))
    seen_F = np.zeros(len(quads_F43))
    seen_F[faces_V] = np.bincount(canvas_ids.ravel(), minlength=len(faces_V) + 1)[1:]
    colours_F3 = paint_faces(quads_F43, parts_F, seen_F, livery, rng)
    normals_V3 = normals_of(quads_F43[faces_V] @ project.rotation.T)
    normals_V3 *= np.sign(normals_V3[:, 2:] + 1e-12)  # a mirrored model has its faces wound the other way round
    table = np.zeros((len(faces_V) + 1, 4), np.uint8)
    table[1:, :3], table[1:, 3] = _shade(colours_F3[faces_V], normals_V3, light), 255
    canvas = table[canvas_ids]
    canvas = _add_discs(canvas, build_mesh(livery.kind, variant).discs, project, rng)
    return _reduce(canvas, factor, exact)


@dataclass(frozen=True)
class _Projection:
    """Model point -> canvas pixels and depth (larger is nearer)."""

    rotation: NDArray[np.float64]
    scale: NDArray[np.float64]
    origin: NDArray[np.float64]

    def __call__(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        seen = points @ self.rotation.T
        return seen[..., :2] * self.scale + self.origin, seen[..., 2]


def _pose(
    kind: str, points_P3: NDArray[np.float64], box_size: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """(3, 3) rotation to camera axes: of 14 random poses the one whose outline is nearest the box's proportions."""
    poses = np.stack([_random_rotation(kind, rng) for _ in range(14)])
    seen = np.einsum("nij,pj->nip", poses[:, :2], points_P3)
    extent = np.ptp(seen, -1)
    error = np.abs(np.log(extent[:, 0] / extent[:, 1]) - np.log(box_size[0] / box_size[1]))
    return poses[int(error.argmin())]


def _random_rotation(kind: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """A view from the side, above or below, never along the nose; then a roll in the image plane."""
    while True:
        azimuth = rng.uniform(-np.pi, np.pi)
        elevation = np.radians(_elevation(kind, rng))
        if kind == "drone" or abs(np.cos(elevation) * np.cos(azimuth)) < 0.72:
            break
    ca, sa, ce, se = np.cos(azimuth), np.sin(azimuth), np.cos(elevation), np.sin(elevation)
    right, towards = np.array([-sa, ca, 0.0]), np.array([ce * ca, ce * sa, se])
    view = np.stack([right, np.cross(towards, right), towards])
    wild = rng.random() < (0.5 if kind == "missile" else 0.2)
    roll = np.radians(rng.uniform(-90, 90) if wild else rng.normal(0, 16))
    turn = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1.0]])
    return turn @ view


def _elevation(kind: str, rng: np.random.Generator) -> float:
    """Degrees above (+) or below (-) the target's own horizon, as people photograph the kind."""
    if kind == "drone":
        return rng.uniform(12, 62) if rng.random() < 0.75 else rng.uniform(-45, -12)
    if kind == "helicopter":
        return rng.normal(4, 14)
    if kind == "missile":
        return rng.uniform(-40, 40)
    return rng.uniform(15, 70) if rng.random() < 0.6 else rng.uniform(-60, -8)


def _rasterise(
    quads_F43: NDArray[np.float64], project: _Projection, canvas_size: tuple[int, int], mirrored: bool
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """The faces that look at the camera, far ones first, and which of them each pixel shows.

    Returns (V,) face numbers and (H, W) int32: 0 where nothing is drawn, else 1 + a place among the V.
    """
    pixels_F42, depth_F4 = project(quads_F43)
    one, two = pixels_F42[:, 2] - pixels_F42[:, 0], pixels_F42[:, 3] - pixels_F42[:, 1]
    turn_F = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]  # image rows grow downwards: front faces turn backwards
    faces_V = np.flatnonzero(turn_F > 0 if mirrored else turn_F < 0)
    faces_V = faces_V[np.argsort(depth_F4[faces_V].mean(1), kind="stable")]
    corners = np.round(pixels_F42[faces_V] * (1 << _SHIFT) - (1 << _SHIFT) / 2).astype(np.int32)
    ids = np.zeros((canvas_size[1], canvas_size[0]), np.int32)
    fill = cv2.fillConvexPoly
    for number, quad in enumerate(corners, start=1):
        fill(ids, quad, number, cv2.LINE_8, _SHIFT)
    return faces_V, ids


def _shade(colours_V3: NDArray[np.float64], normals_V3: NDArray[np.float64], light: Light) -> NDArray[np.float64]:
    """Lambert shading with a brighter sky above than ground below, and a soft highlight."""
    sun = np.array(light.direction) / np.linalg.norm(light.direction)
    facing = normals_V3 @ sun
    level = light.ambient * (0.92 + 0.08 * normals_V3[:, 1]) + (1.12 - light.ambient) * np.maximum(facing, 0)
    half = sun + np.array([0, 0, 1.0])
    gloss = 46.0 * np.maximum(normals_V3 @ (half / np.linalg.norm(half)), 0) ** 18
    return np.clip(colours_V3 * level[:, None] + gloss[:, None], 0, 255).round()


def _add_discs(
    canvas: NDArray[np.uint8], discs: list[Disc], project: _Projection, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Lay the translucent rotor discs over the canvas, or under it where they turn on the far side."""
    strength = int(rng.integers(46, 90))
    grey = int(rng.integers(110, 190))
    for disc in discs:
        pixels, _ = project(_ring(disc))
        over = (project.rotation @ np.array(disc.normal))[2] > 0
        mask = np.zeros(canvas.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, np.round(pixels * (1 << _SHIFT)).astype(np.int32), strength, cv2.LINE_8, _SHIFT)
        _blend_disc(canvas, mask, grey, over)
    return canvas


def _blend_disc(canvas: NDArray[np.uint8], mask: NDArray[np.uint8], grey: int, over: bool) -> None:
    """Blend a flat grey of alpha `mask` in place; opaque pixels change only when the disc is `over` them."""
    inside = (mask > 0) & (canvas[..., 3] < 255)
    clear = inside & (canvas[..., 3] == 0)
    canvas[clear] = np.stack([np.full(clear.sum(), grey)] * 3 + [mask[clear]], -1)
    if over:
        solid = (mask > 0) & (canvas[..., 3] == 255)
        share = mask[solid, None] / 255.0 * 0.6
        canvas[solid, :3] = (canvas[solid, :3] * (1 - share) + grey * share).astype(np.uint8)
    both = inside & ~clear
    canvas[both, 3] = np.minimum(canvas[both, 3].astype(int) + mask[both] // 2, 160)


def _reduce(canvas: NDArray[np.uint8], factor: int, exact: bool) -> NDArray[np.uint8]:
    """Area-average the canvas by `factor` with premultiplied alpha and cut it to the drawn mask."""
    height, width = canvas.shape[0] // factor, canvas.shape[1] // factor
    alpha = canvas[..., 3:].astype(np.float32)
    layers = np.concatenate([canvas[..., :3] * (alpha / 255.0), alpha], -1)
    small = cv2.resize(layers, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, 4)
    small[..., :3] *= 255.0 / np.maximum(small[..., 3:], 1e-3)
    result = np.clip(small, 0, 255).round().astype(np.uint8)
    if exact:
        return result
    left, top, width, height = mask_box(result[..., 3])
    return result[top : top + height, left : left + width]


def mask_box(alpha: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """The tight `[left, top, width, height]` of the pixels with alpha >= ALPHA_SEEN; of all of it if none is."""
    rows, columns = (np.flatnonzero((alpha >= ALPHA_SEEN).any(axis)) for axis in (1, 0))
    if not len(rows):
        return 0, 0, alpha.shape[1], alpha.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)
