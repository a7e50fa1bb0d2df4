"""The eight kinds of target as meshes, each in a few variants, body length about 2 (nose at x = 1)."""

from collections.abc import Callable
from functools import lru_cache

from data.scenes.targets.meshes import Disc, Mesh, Part

VARIANTS = 2


@lru_cache(maxsize=64)
def build_mesh(kind: str, variant: int) -> Mesh:
    """The mesh of a kind in one of its `VARIANTS` shapes; callers must not change it."""
    mesh = Mesh()
    BUILDERS[kind](mesh, variant)
    return mesh


def _fighter_jet(mesh: Mesh, variant: int) -> None:
    """A swept jet: needle nose, bubble canopy, delta wings, nozzles; twin canted fins or one tall fin."""
    mesh.tube([(1.0, 0.008, 0.008, -0.02), (0.8, 0.045, 0.045, -0.01), (0.5, 0.085, 0.095, 0), (0.15, 0.12, 0.12, 0),
               (-0.4, 0.14, 0.12, 0), (-0.85, 0.11, 0.1, 0), (-0.95, 0.09, 0.08, 0)])  # fmt: skip
    mesh.blob((0.42, 0, 0.095), (0.2, 0.06, 0.075), Part.GLASS)
    if variant == 0:
        mesh.wing((0.22, -0.55, 0.1, 0.0), (-0.36, -0.52, 0.66, -0.02), Part.WING, thickness=0.018)
        mesh.wing((-0.62, -0.93, 0.1, 0.0), (-0.9, -1.06, 0.42, -0.02), Part.TAIL, thickness=0.012, spans=5)
        mesh.wing((-0.42, -0.86, 0.11, 0.08), (-0.76, -0.97, 0.22, 0.42), Part.FIN, thickness=0.012, spans=5)
        for y in (-0.075, 0.075):
            mesh.tube([(0.2, 0.062, 0.075, 0), (-0.9, 0.07, 0.075, 0)], Part.BODY, at=(2.0 * y, -0.02), steps=12)
            mesh.tube([(-0.9, 0.062, 0.062, 0), (-1.0, 0.05, 0.05, 0)], Part.DARK, at=(y, 0), steps=3)
            mesh.tube([(0.22, 0.045, 0.058, 0), (0.19, 0.045, 0.058, 0)], Part.DARK, at=(2.0 * y, -0.02), steps=1)
    else:
        mesh.wing((0.3, -0.78, 0.09, -0.02), (-0.55, -0.76, 0.58, -0.03), Part.WING, thickness=0.018)
        mesh.wing((0.52, 0.3, 0.09, 0.05), (0.27, 0.2, 0.3, 0.06), Part.TAIL, thickness=0.01, spans=5)
        mesh.wing((-0.38, -0.92, 0.0, 0.08), (-0.82, -1.0, 0.0, 0.5), Part.FIN, thickness=0.016, spans=7, both=False)
        mesh.tube([(-0.92, 0.085, 0.08, 0), (-1.02, 0.065, 0.065, 0)], Part.DARK, steps=3)
        mesh.tube([(0.3, 0.08, 0.05, 0), (-0.5, 0.09, 0.05, 0)], Part.BODY, at=(0, -0.11), steps=10)
        mesh.tube([(0.33, 0.06, 0.04, 0), (0.29, 0.06, 0.04, 0)], Part.DARK, at=(0, -0.11), steps=1)
    for y in (-0.42, 0.42):
        mesh.tube([(-0.1, 0.01, 0.01, 0), (-0.2, 0.022, 0.022, 0), (-0.55, 0.022, 0.022, 0)], Part.METAL, at=(y, -0.07),
                  steps=6, sides=6)  # fmt: skip


def _fighter_plane(mesh: Mesh, variant: int) -> None:
    """A propeller fighter: stout cowling, spinner, broad straight wings, framed canopy, one rounded fin."""
    mesh.tube([(0.86, 0.08, 0.085, 0), (0.7, 0.135, 0.15, 0), (0.3, 0.14, 0.17, 0), (-0.1, 0.12, 0.15, 0.01),
               (-0.6, 0.06, 0.085, 0.03), (-0.98, 0.015, 0.03, 0.05)])  # fmt: skip
    mesh.tube([(1.0, 0.01, 0.01, 0), (0.94, 0.05, 0.05, 0), (0.86, 0.08, 0.085, 0)], Part.DARK, steps=5)
    mesh.blob((0.08, 0, 0.16), (0.24, 0.065, 0.095), Part.GLASS)
    mid, tip = ((0.5, -0.02, 0.62, 0.0), (0.34, 0.12, 1.06, 0.06)) if variant == 0 else (
        (0.46, 0.04, 0.7, 0.0), (0.42, 0.12, 1.1, 0.08))  # fmt: skip
    mesh.wing((0.52, -0.06, 0.08, -0.06), mid, Part.WING, thickness=0.03, spans=7)
    mesh.wing(mid, tip, Part.WING, thickness=0.018, spans=4)
    mesh.wing((-0.7, -0.95, 0.03, 0.05), (-0.78, -0.94, 0.42, 0.06), Part.TAIL, thickness=0.014, spans=5)
    mesh.wing((-0.66, -1.0, 0.0, 0.06), (-0.84, -1.02, 0.0, 0.38), Part.FIN, thickness=0.016, spans=6, both=False)
    for y in (-0.3, 0.3):
        mesh.rod((0.45, y, -0.04), (0.66, y, -0.04), 0.014, Part.DARK)
    if variant == 1:
        mesh.tube([(0.2, 0.05, 0.06, 0), (-0.3, 0.06, 0.06, 0)], Part.BODY, at=(0, -0.16), steps=6)
    mesh.blades((0.93, 0, 0), 0, 0.36, 3 + variant, 0.028, 0.5)
    mesh.discs.append(Disc((0.93, 0, 0), (1, 0, 0), 0.36))


def _helicopter(mesh: Mesh, variant: int) -> None:
    """A rounded cabin under one big rotor, a thin tail boom with fin and tail rotor, and skids or wheels."""
    mesh.tube([(0.62, 0.02, 0.03, -0.08), (0.55, 0.12, 0.12, -0.05), (0.35, 0.2, 0.22, 0), (0.0, 0.22, 0.25, 0.02),
               (-0.3, 0.14, 0.17, 0.08), (-0.45, 0.06, 0.08, 0.12), (-1.2, 0.035, 0.04, 0.16)], steps=30)  # fmt: skip
    mesh.blob((0.36, 0, 0.04), (0.22, 0.185, 0.185), Part.GLASS, sides=12)
    mesh.tube([(0.2, 0.08, 0.05, 0), (0.1, 0.11, 0.08, 0), (-0.3, 0.09, 0.06, 0)], at=(0, 0.28), steps=8)
    mesh.wing((-1.06, -1.24, 0.0, 0.14), (-1.2, -1.32, 0.0, 0.46), Part.FIN, thickness=0.016, spans=6, both=False)
    mesh.wing((-0.92, -1.04, 0.03, 0.16), (-0.95, -1.04, 0.24, 0.16), Part.TAIL, thickness=0.012, spans=4)
    mesh.rod((0.02, 0, 0.3), (0.02, 0, 0.46), 0.03, Part.DARK)
    mesh.blades((0.02, 0, 0.46), 2, 1.1, 2 + 2 * variant, 0.03, 0.5)
    mesh.discs.append(Disc((0.02, 0, 0.46), (0, 0, 1), 1.1))
    mesh.blades((-1.22, 0.05, 0.34), 1, 0.2, 2, 0.02, 0.9)
    mesh.discs.append(Disc((-1.22, 0.05, 0.34), (0, 1, 0), 0.2))
    for y in (-0.2, 0.2):
        if variant == 0:
            mesh.rod((0.45, y, -0.36), (-0.32, y, -0.36), 0.018, Part.DARK)
            for x in (0.25, -0.15):
                mesh.rod((x, y * 0.6, -0.18), (x, y, -0.36), 0.014, Part.DARK)
        else:
            mesh.wing((0.16, -0.12, 0.18, 0.02), (0.1, -0.06, 0.46, -0.06), Part.WING, thickness=0.02, spans=4)
            mesh.tube([(0.2, 0.05, 0.05, 0), (-0.18, 0.05, 0.05, 0)], Part.METAL, at=(1.9 * y, -0.1), steps=4, sides=8)
            mesh.blob((0.2, y, -0.3), (0.07, 0.03, 0.07), Part.DARK, sides=6)


def _missile(mesh: Mesh, variant: int) -> None:
    """A slender pointed tube with cross fins at the tail and small ones further forward."""
    radius = 0.085 if variant == 0 else 0.105
    mesh.tube([(1.0, 0.006, 0.006, 0), (0.93, 0.35 * radius, 0.35 * radius, 0), (0.82, 0.72 * radius, 0.72 * radius, 0),
               (0.68, radius, radius, 0), (-0.92, radius, radius, 0)], steps=34, sides=14)  # fmt: skip
    mesh.tube([(-0.92, 0.7 * radius, 0.7 * radius, 0), (-0.98, 0.6 * radius, 0.6 * radius, 0)], Part.DARK, steps=2)
    for sy, sz in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
        a, b = 0.7 * radius, 0.28 if variant == 0 else 0.24
        mesh.wing((-0.58, -0.93, sy * a, sz * a), (-0.8, -0.98, sy * b, sz * b), Part.FIN, thickness=0.01, spans=5,
                  both=False)  # fmt: skip
        front = (0.42, 0.24) if variant == 0 else (0.02, -0.3)
        b = 0.19 if variant == 0 else 0.22
        mesh.wing((front[0], front[1], sy * a, sz * a), (front[0] - 0.14, front[1], sy * b, sz * b), Part.TAIL,
                  thickness=0.01, spans=4, both=False)  # fmt: skip


def _drone(mesh: Mesh, variant: int) -> None:
    """A quadcopter: small hull, four arms with upright motors and rotors at their ends, legs, a camera below."""
    if variant == 0:
        mesh.tube([(0.42, 0.12, 0.07, 0), (0.3, 0.2, 0.12, 0), (0, 0.24, 0.15, 0), (-0.3, 0.2, 0.12, 0),
                   (-0.42, 0.1, 0.06, 0)], square=0.75)  # fmt: skip
    else:
        mesh.blob((0, 0, 0.02), (0.36, 0.32, 0.17), Part.BODY, sides=14)
    mesh.blob((0.3, 0, -0.14), (0.1, 0.09, 0.09), Part.DARK, sides=8)
    for sx in (-1, 1):
        for sy in (-1, 1):
            end = (0.66 * sx, 0.66 * sy, 0.05)
            mesh.rod((0.14 * sx, 0.14 * sy, 0.02), end, 0.05, Part.ARM)
            mesh.rod((end[0], end[1], -0.04), (end[0], end[1], 0.16), 0.075, Part.ARM)
            mesh.blades((end[0], end[1], 0.18), 2, 0.46, 2, 0.035, 0.6 + sx + 0.4 * sy)
            mesh.discs.append(Disc((end[0], end[1], 0.18), (0, 0, 1), 0.46))
    for sy in (-1, 1):
        mesh.rod((0.3, 0.27 * sy, -0.38), (-0.3, 0.27 * sy, -0.38), 0.028, Part.DARK)
        for x in (0.16, -0.16):
            mesh.rod((x, 0.13 * sy, -0.1), (x, 0.27 * sy, -0.38), 0.026, Part.DARK)


def _light_aircraft(mesh: Mesh, variant: int) -> None:
    """A small high-wing propeller aircraft: boxy cabin, struts, thin tail, fixed wheels."""
    mesh.tube([(0.82, 0.09, 0.1, -0.02), (0.7, 0.13, 0.14, -0.02), (0.42, 0.15, 0.18, 0.0), (0.32, 0.155, 0.26, 0.06),
               (-0.1, 0.15, 0.25, 0.06), (-0.35, 0.1, 0.15, 0.06), (-1.0, 0.02, 0.05, 0.1)], square=0.8)  # fmt: skip
    mesh.tube([(0.9, 0.01, 0.01, 0), (0.82, 0.06, 0.06, 0)], Part.METAL, at=(0, -0.02), steps=3)
    mesh.tube([(0.46, 0.11, 0.045, 0), (0.34, 0.16, 0.1, 0.03), (0.24, 0.163, 0.1, 0.04), (-0.08, 0.157, 0.085, 0.05)],
              Part.GLASS, at=(0, 0.14), steps=10, square=0.8)  # fmt: skip
    height = 0.32
    if variant == 0:
        mesh.wing((0.36, 0.0, 0.0, height), (0.33, 0.06, 1.2, height + 0.03), Part.WING, thickness=0.028, spans=12)
    else:  # shorter and tapered, with spats on the wheels
        mesh.wing((0.4, -0.06, 0.0, height), (0.28, 0.04, 1.02, height + 0.08), Part.WING, thickness=0.03, spans=12)
        for y in (-0.3, 0.3):
            mesh.blob((0.08, y, -0.36), (0.14, 0.05, 0.07), Part.NACELLE, sides=8)
    for y in (-1.0, 1.0):
        mesh.rod((0.2, 0.15 * y, -0.12), (0.2, 0.58 * y, height), 0.016, Part.METAL)
    mesh.wing((-0.74, -1.0, 0.0, 0.12), (-0.8, -0.98, 0.42, 0.12), Part.TAIL, thickness=0.014, spans=5)
    mesh.wing((-0.7, -1.02, 0.0, 0.12), (-0.9, -1.06, 0.0, 0.46), Part.FIN, thickness=0.016, spans=6, both=False)
    for x, y in ((0.62, 0.0), (0.08, 0.3), (0.08, -0.3)):
        mesh.rod((x, 0.4 * y, -0.16), (x, y, -0.34), 0.015, Part.METAL)
        mesh.blob((x, y, -0.37), (0.075, 0.03, 0.075), Part.DARK, sides=7)
    mesh.blades((0.86, 0, -0.02), 0, 0.29, 2, 0.03, 0.7)
    mesh.discs.append(Disc((0.86, 0, -0.02), (1, 0, 0), 0.29))


def _commercial_aircraft(mesh: Mesh, variant: int) -> None:
    """An airliner: long tube with a row of windows, low swept wings, engines under them, a tall swept fin."""
    mesh.tube([(1.0, 0.015, 0.015, -0.03), (0.94, 0.06, 0.06, -0.015), (0.84, 0.1, 0.1, 0), (-0.5, 0.105, 0.105, 0),
               (-0.75, 0.075, 0.08, 0.025), (-1.0, 0.02, 0.025, 0.06)], steps=34)  # fmt: skip
    mesh.tube([(0.955, 0.045, 0.03, -0.01), (0.88, 0.09, 0.035, 0)], Part.GLASS, at=(0, 0.045), steps=2)
    for x in (0.7 - 0.115 * i for i in range(12)):
        mesh.tube(
            [(x + 0.03, 0.108, 0.016, 0), (x - 0.03, 0.108, 0.016, 0)], Part.GLASS, at=(0, 0.025), steps=1, sides=8
        )
    mesh.wing((0.28, -0.14, 0.07, -0.05), (-0.05, -0.24, 0.45, -0.01), Part.WING, thickness=0.03, spans=5)
    mesh.wing((-0.05, -0.24, 0.45, -0.01), (-0.4, -0.48, 1.02, 0.07), Part.WING, thickness=0.016, spans=7)
    mesh.wing((-0.72, -0.92, 0.03, 0.05), (-0.95, -1.04, 0.4, 0.09), Part.TAIL, thickness=0.012, spans=5)
    mesh.wing((-0.62, -0.92, 0.0, 0.07), (-0.94, -1.06, 0.0, 0.44), Part.FIN, thickness=0.018, spans=7, both=False)
    for y, x in (
        ((0.34, 0.2), (-0.34, 0.2)) if variant == 0 else ((0.32, 0.2), (-0.32, 0.2), (0.6, -0.04), (-0.6, -0.04))
    ):
        mesh.tube([(x, 0.055, 0.055, 0), (x - 0.06, 0.065, 0.065, 0), (x - 0.24, 0.045, 0.045, 0)], Part.NACELLE,
                  at=(y, -0.1), steps=6, sides=10)  # fmt: skip
        mesh.tube([(x + 0.01, 0.042, 0.042, 0), (x, 0.042, 0.042, 0)], Part.DARK, at=(y, -0.1), steps=1, sides=10)


def _cargo_aircraft(mesh: Mesh, variant: int) -> None:
    """A fat transport: blunt nose, swept-up rear, high wing with four engines (turboprops, or jets with a T-tail)."""
    mesh.tube([(0.95, 0.05, 0.06, -0.05), (0.88, 0.13, 0.14, -0.02), (0.72, 0.19, 0.2, 0), (-0.25, 0.195, 0.205, 0),
               (-0.6, 0.13, 0.13, 0.07), (-1.0, 0.03, 0.05, 0.15)], square=0.85, steps=28)  # fmt: skip
    mesh.tube([(0.9, 0.11, 0.03, 0), (0.8, 0.165, 0.045, 0)], Part.GLASS, at=(0, 0.1), steps=2)
    for y in (-1.0, 1.0):
        mesh.tube([(0.2, 0.03, 0.05, 0), (0.1, 0.06, 0.08, 0), (-0.2, 0.06, 0.08, 0), (-0.3, 0.02, 0.05, 0)],
                  at=(0.19 * y, -0.16), steps=6, sides=8)  # fmt: skip
    if variant == 0:
        mesh.wing((0.3, -0.06, 0.0, 0.21), (0.2, 0.02, 1.15, 0.22), Part.WING, thickness=0.03, spans=13)
        mesh.wing((-0.72, -0.98, 0.02, 0.16), (-0.8, -0.97, 0.46, 0.18), Part.TAIL, thickness=0.014, spans=5)
        mesh.wing((-0.58, -0.98, 0.0, 0.16), (-0.86, -1.03, 0.0, 0.6), Part.FIN, thickness=0.02, spans=7, both=False)
        for y in (-0.66, -0.36, 0.36, 0.66):
            mesh.tube([(0.44, 0.03, 0.03, 0), (0.36, 0.055, 0.065, 0), (0.0, 0.03, 0.04, 0)], Part.NACELLE,
                      at=(y, 0.18), steps=6, sides=8)  # fmt: skip
            mesh.blades((0.42, y, 0.18), 0, 0.15, 4, 0.016, 0.4)
            mesh.discs.append(Disc((0.42, y, 0.18), (1, 0, 0), 0.15))
        return
    mesh.wing((0.34, -0.1, 0.0, 0.21), (-0.22, -0.34, 1.05, 0.15), Part.WING, thickness=0.03, spans=13)
    mesh.wing((-0.6, -0.96, 0.0, 0.16), (-0.92, -1.08, 0.0, 0.58), Part.FIN, thickness=0.022, spans=7, both=False)
    mesh.wing((-0.9, -1.1, 0.0, 0.58), (-1.06, -1.16, 0.42, 0.56), Part.TAIL, thickness=0.014, spans=5)
    for y, x in ((0.36, 0.28), (-0.36, 0.28), (0.66, 0.12), (-0.66, 0.12)):
        mesh.tube([(x, 0.06, 0.06, 0), (x - 0.06, 0.07, 0.07, 0), (x - 0.26, 0.045, 0.045, 0)], Part.NACELLE,
                  at=(y, 0.1), steps=6, sides=10)  # fmt: skip
        mesh.tube([(x + 0.01, 0.045, 0.045, 0), (x, 0.045, 0.045, 0)], Part.DARK, at=(y, 0.1), steps=1, sides=10)


BUILDERS: dict[str, Callable[[Mesh, int], None]] = {
    "fighter jet": _fighter_jet,
    "fighter plane": _fighter_plane,
    "helicopter": _helicopter,
    "missile": _missile,
    "drone": _drone,
    "light aircraft": _light_aircraft,
    "commercial aircraft": _commercial_aircraft,
    "cargo aircraft": _cargo_aircraft,
}
