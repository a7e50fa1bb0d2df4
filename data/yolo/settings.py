"""Settings of `data.yolo`."""

from dataclasses import dataclass

from core.decoding import DecodingConfig
from core.runs import RunConfig
from data.formats.source import PartConfig
from data.placing import Place


@dataclass
class YoloConfig(DecodingConfig, PartConfig, RunConfig):
    """Settings of `data.yolo`."""

    annotations: str | None = None  # caption JSONL or JSON list, or another tool's labels, of the training images
    images: str | None = None  # folder of the images
    val: str | None = None  # annotation file of the validation images
    val_images: str | None = None  # folder of the validation images; default the same as images
    place: Place = Place.link  # link or copy the images
    tree: str | None = None  # a YOLO tree (folder or data.yaml) to make annotation files of instead
