"""Settings of `detector.train`."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from core.decoding import DecodingConfig
from core.published import Published
from core.runs import RunConfig
from core.tracking import TrackingConfig
from core.weights import WeightsConfig
from data.recipe import RecipeConfig
from detector.settings import DetectorConfig, StageConfig


@dataclass
class TrainConfig(DecodingConfig, WeightsConfig, RunConfig):
    """Settings of `detector.train`."""

    data: str = MISSING  # YOLO tree: its folder or its data.yaml
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)  # augmentation
    stages: list[StageConfig] = field(default_factory=list)  # resolution, epochs, recipe of each; default the preset's
    epochs: int | None = None  # of a training of one stage, in place of stages=
    imgsz: int | None = None  # long side of its images in pixels, likewise
    device: Any = None  # cpu, 0, [0,1] for several GPUs; null: a GPU if there is one
    seed: int = 0  # of everything random
    allow_changes: bool = False  # go on in run_dir although settings differ from those it was begun with
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    published: Published = field(default_factory=Published)
