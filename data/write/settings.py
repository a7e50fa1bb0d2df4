"""Settings of `data.write`."""

from dataclasses import dataclass
from enum import Enum

from omegaconf import MISSING

from core.decoding import DecodingConfig
from core.runs import RunConfig
from data.formats.source import PartConfig
from data.placing import Place


class Format(Enum):
    """The tool to write for."""

    coco = "coco"
    yolo = "yolo"
    label_studio = "label_studio"
    cvat = "cvat"


class Classes(Enum):
    """What the classes of labels are: the one class `target`, with captions beside it, or the captions themselves."""

    target = "target"
    captions = "captions"


@dataclass
class WriteConfig(DecodingConfig, PartConfig, RunConfig):
    """Settings of `data.write`."""

    annotations: str = MISSING  # annotation file, or labels of another tool
    format: Format = MISSING  # coco, yolo, label_studio, cvat
    images: str | None = None  # folder of the images, whose headers tell their sizes
    size: list[int] | None = None  # [width, height] of every image, instead of opening them; not of yolo
    classes: Classes | None = None  # target, or captions (for class names); null: captions for yolo, else target
    place: Place = Place.link  # link or copy the images of a YOLO tree
    address: str = "/data/local-files/?d="  # what Label Studio is to put before an image's name
