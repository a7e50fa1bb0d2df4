"""The stages of an Ultralytics detector's training, by their trainer made exact."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.tracking import Tracker
from data.recipe import RecipeConfig
from detector.settings import StageConfig
from detector.train.arguments import check_arguments
from detector.train.plan import METRICS, StagePlan
from detector.train.settings import TrainConfig


class UltralyticsStages:
    """Arguments of every stage, checked before any work; see detector.train.stages.Trainer."""

    def __init__(self, config: TrainConfig, stages: Sequence[StageConfig], recipes: Sequence[RecipeConfig]) -> None:
        self.arguments = [_arguments(config, stage, recipe) for stage, recipe in zip(stages, recipes, strict=True)]

    def train(self, path: Path, plan: StagePlan, data_yaml: Path, start: Path | str, tracker: Tracker | None) -> None:
        """Train one stage in its folder, or go on with it."""
        from detector.train.trainer import StageTrainer

        given = {"data": str(data_yaml), "save_dir": str(path), "model": str(start)}
        trainer = StageTrainer(overrides={**self.arguments[plan.index - 1], **given})
        trainer.tracker = tracker
        trainer.train()

    def metrics(self, path: Path) -> dict[str, object]:
        """AP, AP50, precision and recall of the epoch that best.pt is of, from the checkpoint itself."""
        from detector.weights import load_model

        found = load_model(self.best(path))[1].get("train_metrics") or {}
        return {name: float(found[key]) for name, key in METRICS.items() if key in found}

    def best(self, path: Path) -> Path:
        """Where a trained stage's best weights are."""
        return path / "weights" / "best.pt"


def _arguments(config: TrainConfig, stage: StageConfig, recipe: RecipeConfig) -> dict[str, Any]:
    """Ultralytics' overrides for one stage: the preset's, then the stage's."""
    from albumentations import to_dict

    from data.augment import detector_transforms

    given = check_arguments(config.detector.train.args)
    given |= check_arguments(stage.args, "stages[].args")
    device = config.device
    return {
        "task": "detect",
        "mode": "train",
        "single_cls": True,
        "plots": True,
        "val": not config.detector.train.blind,  # judged on what it has seen, a blind training keeps its last epoch
        **given,
        "imgsz": stage.imgsz,
        "epochs": stage.schedule_epochs or stage.epochs,
        "augmentations": [to_dict(t) for t in detector_transforms(recipe)],
        "device": ",".join(str(d) for d in device) if isinstance(device, list) else device,
        "seed": config.seed,
        "exist_ok": True,
    }
