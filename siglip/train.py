"""Fine-tune the scorer on a crop set with big_vision's sigmoid loss; runs under `accelerate launch` too."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING

from core.runs import RunConfig, RunFolder
from core.tracking import TrackingConfig
from data.recipe import RecipeConfig
from siglip.scorer import ScorerConfig


class SameCaption(Enum):
    """What another pair of the batch with the same caption is."""

    positive = "positive"
    ignored = "ignored"
    negative = "negative"


@dataclass
class BatchConfig:
    """How many pairs make one step."""

    size: int = 960  # pairs whose captions are each other's negatives, over all processes


@dataclass
class LossConfig:
    """The loss's choices."""

    same_caption: SameCaption = SameCaption.positive  # another pair with the same caption; published: negative


@dataclass
class TrainConfig(RunConfig):
    """Settings of `siglip.train`."""

    crops: str = MISSING  # crop set to train on
    val_crops: str | None = None  # crop set to rank after each epoch; null: none, as published
    scorer: ScorerConfig = field(default_factory=ScorerConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    epochs: int = 5  # passes over the crop set
    lr: float = 2e-5  # peak learning rate; 1e-4 diverged in the published log
    betas: list[float] = field(default_factory=lambda: [0.9, 0.99])  # AdamW's
    weight_decay: float = 1e-4  # on matrices only
    warmup: float = 0.1  # share of the steps with a rising learning rate, then cosine to zero
    clip_norm: float = 1.0  # largest gradient norm
    seed: int = 0  # weights, order and augmentation


def run(config: TrainConfig, folder: RunFolder) -> dict[str, Any]:
    """Train and leave a complete checkpoint in `last/`."""
    from siglip.loop import train

    folder.add_parent(config.crops)
    return train(config, folder)


def main(argv: list[str] | None = None) -> None:
    """Run the command `siglip.train`."""
    from grounder.command import run_command

    run_command("siglip.train", TrainConfig, run, argv)


if __name__ == "__main__":
    main()
