"""Closed low-polygon surfaces that targets are built from: tubes, lens-shaped wings, blades and rotor discs.

Frame: x forward (nose +1, tail -1), y to the left wing, z up; lengths in half body lengths.
"""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Part(IntEnum):
    """What a face belongs to; paint decides its colour by it."""

    BODY = 0
    WING = 1
    TAIL = 2
    FIN = 3
    NACELLE = 4
    ARM = 5
    GLASS = 6
    DARK = 7
    BLADE = 8
    METAL = 9


@dataclass(frozen=True)
class Disc:
    """The blur of a turning rotor: a circle of `radius` round `centre`, facing along `normal` (outward)."""

    centre: tuple[float, float, float]
    normal: tuple[float, float, float]
    radius: float


@dataclass
class Mesh:
    """Quads `faces_F43` (triangles repeat a corner, wound outward) with the part of each face, and rotor discs."""

    quads: list[NDArray[np.float64]] = field(default_factory=list)
    parts: list[NDArray[np.int64]] = field(default_factory=list)
    discs: list[Disc] = field(default_factory=list)

    def add(self, quads_F43: NDArray[np.float64], part: Part) -> None:
        """Append faces of one part."""
        self.quads.append(quads_F43)
        self.parts.append(np.full(len(quads_F43), int(part)))

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(F, 4, 3) corners and (F,) parts of all faces."""
        return np.concatenate(self.quads), np.concatenate(self.parts)

    def tube(self, stations: list[tuple[float, float, float, float]], part: Part = Part.BODY, *, steps: int = 24,
             sides: int = 14, at: tuple[float, float] = (0.0, 0.0), square: float = 1.0) -> None:  # fmt: skip
        """A body of revolution along x through `stations` (x, half width, half height, z offset), nose first.

        `at` shifts it in (y, z); `square` < 1 makes the section boxier (superellipse exponent).
        """
        table = np.array(stations, np.float64)[::-1]
        t = np.linspace(table[0, 0], table[-1, 0], steps + 1)
        half_width, half_height, lift = (np.interp(t, table[:, 0], table[:, i]) for i in (1, 2, 3))
        angle = np.linspace(0, 2 * np.pi, sides + 1)
        cos, sin = (np.sign(w) * np.abs(w) ** square for w in (np.cos(angle), np.sin(angle)))
        y = half_width[:, None] * cos + at[0]
        z = half_height[:, None] * sin + lift[:, None] + at[1]
        grid = np.stack([np.broadcast_to(t[:, None], y.shape), y, z], -1)
        spine = np.stack([t, np.full_like(t, at[0]), lift + at[1]], -1)
        quads = _quads(grid)
        middle = np.repeat((spine[:-1] + spine[1:]) / 2, sides, 0)
        self.add(_outward(quads, quads.mean(1) - middle), part)
        for end, sign in ((grid[0], -1.0), (grid[-1], 1.0)):  # station 0 is the tail after the reversal above
            self.add(_outward(_fan(end[:-1]), np.array([sign, 0.0, 0.0])), part)

    def wing(self, root: tuple[float, float, float, float], tip: tuple[float, float, float, float], part: Part, *,
             thickness: float = 0.02, spans: int = 9, chords: int = 5, both: bool = True) -> None:  # fmt: skip
        """A lens-section surface from `root` to `tip`, each (leading x, trailing x, y, z); `both` mirrors it in y."""
        s = np.linspace(0, 1, spans + 1)[:, None]
        c = np.linspace(0, 1, chords + 1)[None, :]
        lead, trail, y, z = (root[i] + (tip[i] - root[i]) * s for i in range(4))
        span = np.array([tip[2] - root[2], tip[3] - root[3]])
        out = np.array([-span[1], span[0]]) / (np.hypot(*span) + 1e-9)  # normal of the surface in the (y, z) plane
        bulge = thickness * (1 - 0.6 * s) * 4 * c * (1 - c) + 0.004
        for side in (1.0, -1.0):
            grid = np.stack([lead + (trail - lead) * c, y + side * out[0] * bulge, z + side * out[1] * bulge], -1)
            quads = _outward(_quads(grid), side * np.array([0.0, out[0], out[1]]))
            self.add(quads, part)
            if both:
                self.add(quads[:, ::-1] * np.array([1.0, -1.0, 1.0]), part)

    def blob(self, centre: tuple[float, float, float], radii: tuple[float, float, float], part: Part,
             sides: int = 10) -> None:  # fmt: skip
        """An ellipsoid."""
        u = np.linspace(-1, 1, 8)
        ring = np.sqrt(np.maximum(1 - u**2, 0))
        stations = [(centre[0] + radii[0] * a, radii[1] * r + 1e-4, radii[2] * r + 1e-4, centre[2])
                    for a, r in zip(u[::-1], ring, strict=True)]  # fmt: skip
        self.tube(stations, part, steps=8, sides=sides, at=(centre[1], 0.0))

    def rod(self, start: tuple[float, float, float], end: tuple[float, float, float], radius: float,
            part: Part) -> None:  # fmt: skip
        """A square bar from `start` to `end`, cut into pieces so that it sorts well by depth."""
        a, b = np.array(start), np.array(end)
        axis = (b - a) / np.linalg.norm(b - a)
        helper = np.array([0.0, 0.0, 1.0]) if abs(axis[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
        first = np.cross(axis, helper)
        first /= np.linalg.norm(first)
        second = np.cross(axis, first)
        corners = np.array([first + second, second - first, -first - second, first - second, first + second]) * radius
        along = a + (b - a) * np.linspace(0, 1, 5)[:, None]
        quads = _quads(along[:, None, :] + corners[None])
        self.add(_outward(quads, quads.mean(1) - np.repeat((along[:-1] + along[1:]) / 2, 4, 0)), part)

    def blades(self, centre: tuple[float, float, float], axis: int, radius: float, count: int, width: float,
               phase: float) -> None:  # fmt: skip
        """`count` thin blades about the x, y or z axis (0, 1, 2), seen from both sides."""
        first, second = [i for i in range(3) if i != axis]
        for angle in phase + np.arange(count) * 2 * np.pi / count:
            reach, across = np.zeros(3), np.zeros(3)
            reach[[first, second]] = np.cos(angle), np.sin(angle)
            across[[first, second]] = -np.sin(angle), np.cos(angle)
            t = np.linspace(0.0, radius, 5)[:, None, None]
            grid = np.array(centre) + t * reach + np.array([-1, 1])[None, :, None] * across * width
            quads = _quads(grid)
            self.add(quads, Part.BLADE)
            self.add(quads[:, ::-1], Part.BLADE)


def _quads(grid_SC3: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (F, 4, 3) quads of a grid of points, row by row."""
    corners = grid_SC3[:-1, :-1], grid_SC3[1:, :-1], grid_SC3[1:, 1:], grid_SC3[:-1, 1:]
    return np.stack(corners, -2).reshape(-1, 4, 3)


def _fan(ring_N3: NDArray[np.float64]) -> NDArray[np.float64]:
    """Triangles (as quads with a repeated corner) that close a ring."""
    middle = np.broadcast_to(ring_N3.mean(0), ring_N3.shape)
    return np.stack([middle, middle, ring_N3, np.roll(ring_N3, -1, 0)], 1)


def normals_of(quads_F43: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F, 3) unit normals by the cross product of the diagonals, right for quads that repeat a corner too."""
    normal = np.cross(quads_F43[:, 2] - quads_F43[:, 0], quads_F43[:, 3] - quads_F43[:, 1])
    return normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12)


def _outward(quads_F43: NDArray[np.float64], outside_F3: NDArray[np.float64]) -> NDArray[np.float64]:
    """The faces wound so that their normals agree with `outside_F3`."""
    wrong = (normals_of(quads_F43) * outside_F3).sum(-1) < 0
    return np.where(wrong[:, None, None], quads_F43[:, ::-1], quads_F43)
