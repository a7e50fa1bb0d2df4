"""Train a detector on a YOLO tree, in stages, going on exactly where a killed run stopped."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from core.published import Published, beside
from core.runs import RunConfig, RunFolder
from core.tracking import TrackingConfig
from data.recipe import RecipeConfig
from detector.build import DetectorConfig, StageConfig


@dataclass
class TrainConfig(RunConfig):
    """Settings of `detector.train`."""

    data: str = MISSING  # YOLO tree: its folder or its data.yaml
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)  # augmentation
    stages: list[StageConfig] = field(default_factory=list)  # resolution, epochs, recipe of each; default the preset's
    device: Any = None  # cpu, 0, [0,1] for several GPUs; null: a GPU if there is one
    seed: int = 0  # of everything random
    allow_changes: bool = False  # go on in run_dir although settings differ from those it was begun with
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    published: Published = field(default_factory=Published)


def run(config: TrainConfig, folder: RunFolder) -> dict[str, object]:
    """Train every stage that is not complete; `weights/best.pt`, `last.pt` and `results.csv` are the last one's.

    Returns the metrics of the best epoch at the last stage's resolution, and seconds. Raises InputError.
    """
    from detector.train.stages import train_stages

    metrics = train_stages(config, folder)
    return metrics | beside(config.published, metrics)


def main(argv: list[str] | None = None) -> None:
    """Run the command `detector.train`."""
    from grounder.command import run_command

    run_command("detector.train", TrainConfig, run, argv)
