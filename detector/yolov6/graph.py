"""The settings of the network's graph; light to import."""

import math
from dataclasses import dataclass

CHANNELS = (64, 128, 256, 512, 768, 1024)  # stem and the backbone's five stages, at width 1
NECK_CHANNELS = (512, 256, 128, 256, 512, 1024)  # reduced P6, P5, P4; then the way down to P4, P5, P6
REPEATS = (6, 12, 18, 6, 6)  # of the stages' cross-stage blocks, at depth 1
NECK_REPEATS = 12
STRIDES = (8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Graph:
    """A network of YOLOv6-L6's graph; width 1 and depth 1 are the published one."""

    num_classes: int = 80
    width: float = 1.0  # of every number of channels, rounded up to a multiple of 8
    depth: float = 1.0  # of every number of repeats, at least one residual unit each
    reg_max: int = 16  # the longest distance from a cell's centre to a side of its box, in strides

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the stem and the five stages."""
        return tuple(_scaled(c, self.width) for c in CHANNELS)

    @property
    def neck_channels(self) -> tuple[int, ...]:
        """Channels of the neck's six blocks, in the order of the way through it."""
        return tuple(_scaled(c, self.width) for c in NECK_CHANNELS)

    @property
    def units(self) -> tuple[int, ...]:
        """Residual units of each stage; a published repeat is one of a unit's two convolutions."""
        return tuple(max(1, round(n * self.depth / 2)) for n in REPEATS)

    @property
    def neck_units(self) -> int:
        """Residual units of each of the neck's blocks."""
        return max(1, round(NECK_REPEATS * self.depth / 2))


def _scaled(channels: int, width: float) -> int:
    return max(8, math.ceil(channels * width / 8) * 8)
