"""How images are decoded where they ask for more than usual: the largest image, and pixels of more than 8 bits."""

import os
from dataclasses import dataclass, field
from enum import Enum

from core.errors import InputError

MAX_PIXELS = 100_000_000
PIXELS_VARIABLE, DEPTH_VARIABLE = "GROUNDER_MAX_PIXELS", "GROUNDER_DEPTH"  # for what no command says
PIXELS_SETTING = "decoding.max_pixels"


class Depth(Enum):
    """What becomes of pixels of more than 8 bits: their high byte, or each image's own range stretched to 8 bits."""

    high_byte = "high_byte"
    stretch = "stretch"


@dataclass
class DecodingSettings:
    """How images are decoded; null leaves it to the environment."""

    max_pixels: int | None = None  # largest image, width times height; null: $GROUNDER_MAX_PIXELS, else 100000000
    depth: Depth | None = None  # more than 8 bits: high_byte, or stretch each image's range; null: $GROUNDER_DEPTH


@dataclass
class DecodingConfig:
    """What commands take that decode a user's images."""

    decoding: DecodingSettings = field(default_factory=DecodingSettings)


def use_decoding(settings: DecodingSettings, override: bool = True) -> None:
    """Decode so from now on, in this process and those it starts; null leaves a setting as it is.

    override: also what the environment says already; otherwise that stays, as for a stored run's settings.
    """
    if settings.max_pixels is not None and settings.max_pixels < 1:
        raise InputError(f"{PIXELS_SETTING}: {settings.max_pixels} is not at least 1")
    depth = None if settings.depth is None else settings.depth.value
    for variable, value in ((PIXELS_VARIABLE, settings.max_pixels), (DEPTH_VARIABLE, depth)):
        if value is not None and (override or variable not in os.environ):
            os.environ[variable] = str(value)


def max_pixels() -> int:
    """The largest image that is decoded, in pixels; InputError for an environment that names no number."""
    given = os.environ.get(PIXELS_VARIABLE, str(MAX_PIXELS))
    if not given.isdecimal():
        raise InputError(f"{PIXELS_VARIABLE}: {given!r} in the environment is no number of pixels")
    return int(given)


def is_stretched() -> bool:
    """Whether pixels of more than 8 bits are stretched; InputError for an environment that names no such depth."""
    given = os.environ.get(DEPTH_VARIABLE, Depth.high_byte.value)
    if given not in Depth.__members__:
        raise InputError(f"{DEPTH_VARIABLE}: {given!r} in the environment is not {' or '.join(Depth.__members__)}")
    return Depth[given] is Depth.stretch
