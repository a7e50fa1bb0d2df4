"""Settings of `data.check`."""

from dataclasses import dataclass

from omegaconf import MISSING

from core.decoding import DecodingConfig
from core.runs import RunConfig
from data.formats.source import PartConfig


@dataclass
class CheckConfig(DecodingConfig, PartConfig, RunConfig):
    """Settings of `data.check`."""

    annotations: str = MISSING  # annotation file, or labels of another tool; the training part when val is given
    images: str | None = None  # folder of the images; without it only the annotation files are checked
    val: str | None = None  # annotation file of the validation part, to look for leaks
    val_images: str | None = None  # folder of the validation images; default the same as images
    near_bits: int = 40  # images look alike when at most so many of 255 bits of their perceptual hashes differ
    few: int = 20  # a caption with fewer training boxes is rare
    workers: int = 4  # threads
