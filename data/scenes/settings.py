"""Settings of `data.scenes`."""

from dataclasses import dataclass, field
from enum import Enum

from core.runs import RunConfig
from data.formats.source import PartConfig

PUBLISHED_SIZE, PUBLISHED_TARGET = (1520, 870), (60, 40)


class SceneNoise(Enum):
    """Which sensor the scenes are seen through."""

    none = "none"
    v1 = "v1"
    v2 = "v2"


class CutoutBox(Enum):
    """What the box of a pasted cutout holds: its opaque pixels, or the whole pasted rectangle as published."""

    tight = "tight"
    pasted = "pasted"


@dataclass
class ScenesConfig(PartConfig, RunConfig):
    """Settings of data.scenes."""

    num_images: int | None = None  # how many scenes; default 100, or every line of `annotations`
    seed: int = 0  # the same seed gives the same bytes, scene by scene, whatever num_images and workers are
    size: list[int] = field(default_factory=lambda: list(PUBLISHED_SIZE))  # width and height in pixels
    target_size: list[int] | None = None  # median box width and height; default 60x40 scaled with the image
    num_targets: list[int] = field(default_factory=lambda: [3, 8])  # least and most targets in an image
    same_kind: float = 0.6  # chance that a further target is a kind already there, in other colours
    several: float = 0.0  # chance that a caption describes two or three targets of its image
    absent: float = 0.0  # for each caption with a target, chance of a further one that describes nothing in the image
    captions: list[str] | None = None  # the vocabulary; default: the built-in one, or the cutouts' names
    annotations: str | None = None  # draw this file's captions, or another tool's labels, into its boxes instead
    backgrounds: str | None = None  # folder of photographs to draw on instead of drawn landscapes
    cutouts: str | None = None  # folder of transparent PNGs (caption_with_underscores_1.png) to paste as targets
    cutout_box: CutoutBox = CutoutBox.tight  # tight round the opaque pixels, or the pasted rectangle as published
    box_grid: int = 1  # boxes are multiples of this many pixels; the published file's are of 4
    noise: SceneNoise = SceneNoise.none  # sensor noise: none, or one of the two published renderings v1, v2
    suffix: str = ".jpg"  # image format: .jpg or .png
    quality: int = 95  # JPEG quality
    workers: int = 0  # processes; 0 is one per core
