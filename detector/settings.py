"""Settings of a detector and of its training; light to import."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class SliceMode(Enum):
    """Which slices of an image are looked at: none, those sahi chooses, or those of a given size."""

    none = "none"
    auto = "auto"
    size = "size"


class StageState(Enum):
    """What a stage begins with: the best weights and a fresh optimizer, or everything the last one ended with."""

    fresh = "fresh"
    kept = "kept"


class Rectangle(Enum):
    """Training images' shape: square, that of the images, or that of the images when all share one."""

    square = "square"
    images = "images"
    auto = "auto"


class Denoise(Enum):
    """Whether noise is filtered out of an image before the detector sees it; crops are cut from the image itself."""

    none = "none"
    auto = "auto"


@dataclass
class SliceConfig:
    """Slices of the image, each looked at as a view of its own."""

    mode: SliceMode = SliceMode.none  # none, auto (as sahi chooses: six for 1520x870) or size
    size: list[int] | None = None  # [width, height] of a slice in pixels, for mode=size
    overlap: float = 0.2  # share of a slice that its neighbour covers too, for mode=size
    imgsz: Any = None  # network input size for slices; null: the member's
    full: bool = True  # look at the full image as well


@dataclass
class MemberConfig:
    """One checkpoint at one resolution with its views."""

    weights: str | None = None  # .pt or .onnx file, a detector.train run folder, or a published name such as yolov9e
    imgsz: Any = None  # network input size, a side or [height, width] in pixels; null: that of the training
    views: list[str] = field(default_factory=lambda: ["plain"])  # plain, tta, flip_lr, flip_ud, rotate_90, scale_0.83
    slices: SliceConfig = field(default_factory=SliceConfig)
    batch: int = 8  # images or slices that go through the network together
    half: bool = False  # half precision (GPU only)
    denoise: Denoise = Denoise.none  # auto: filter images noisier than 8 grey levels; as published: none
    classes: list[str] = field(default_factory=list)  # which of its classes count; of open-vocabulary models anything
    name: str | None = None  # its name in view names; default the checkpoint's


class BestMetric(Enum):
    """What makes an epoch the best."""

    AP = "AP"
    AP50 = "AP50"
    precision = "precision"
    recall = "recall"


@dataclass
class StageConfig:
    """One part of a training: a resolution, a length, and what it changes."""

    imgsz: int = 640  # long side of the training images in pixels
    epochs: int = 100  # epochs of this stage
    recipe: str | None = None  # augmentation recipe by name; null: the command's
    state: StageState = StageState.fresh  # fresh: best weights, new optimizer; kept: resume with the optimizer's state
    crop: list[int] | None = None  # [width, height] of random crops to train on; null: detector.train.crop
    crop_share: float | None = None  # share of the training images that are crops; null: detector.train.crop_share
    schedule_epochs: int | None = None  # length of the learning-rate schedule when the stage ends before it does
    args: dict[str, Any] = field(default_factory=dict)  # Ultralytics arguments of this stage alone


@dataclass
class TrainingConfig:
    """How a detector is trained; any Ultralytics train argument goes into `args`."""

    model: str | None = None  # start: .pt weights, a published name, or a .yaml description (ours or Ultralytics')
    stages: list[StageConfig] = field(default_factory=list)  # what detector.train does unless it is given stages
    rectangle: Rectangle = Rectangle.auto  # shape of the training images: square, images, or auto
    crop: list[int] | None = None  # [width, height] of random crops to train on, for detectors that will see slices
    crop_share: float = 0.5  # share of the training images that are crops, when crop is given
    blind: bool = False  # train on everything, the validation part included
    best_metric: BestMetric = BestMetric.AP  # what makes an epoch the best: AP, AP50, precision or recall
    args: dict[str, Any] = field(default_factory=dict)  # any Ultralytics train argument, checked by name


@dataclass
class DetectorConfig(MemberConfig):
    """A detector: one member, or any number of them by `members`."""

    members: list[MemberConfig] = field(default_factory=list)  # an ensemble; `weights` is then left out
    train: TrainingConfig = field(default_factory=TrainingConfig)


def detector_weights(config: DetectorConfig | None) -> list[str]:
    """The checkpoints that the settings name, by `weights` or by `members`."""
    if config is None:
        return []
    return [weights for weights in (config.weights, *(m.weights for m in config.members)) if weights]
