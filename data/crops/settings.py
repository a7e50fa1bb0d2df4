"""Settings of `data.crops`."""

from dataclasses import dataclass
from enum import Enum

from omegaconf import MISSING

from core.decoding import DecodingConfig
from core.runs import RunConfig
from data.formats.source import PartConfig


class Format(Enum):
    """The file format of the crops."""

    png = ".png"
    jpeg = ".jpg"


@dataclass
class CropsConfig(DecodingConfig, PartConfig, RunConfig):
    """Settings of `data.crops`."""

    annotations: str = MISSING  # caption JSONL or JSON list, or labels of another tool
    images: str = MISSING  # folder of the images
    format: Format = Format.png  # png, exact; or jpeg, as published
    quality: int = 95  # of JPEG crops, 1 to 100
    published_index: bool = False  # also write index.json, the published list of image and label
    workers: int = 4  # threads
