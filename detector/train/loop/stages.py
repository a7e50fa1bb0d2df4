"""The stages of a training by our loop."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from core.errors import InputError
from core.files import read_json, write_json
from core.tracking import Tracker
from data.labels import target_boxes
from data.recipe import RecipeConfig
from detector.settings import StageConfig, StageState
from detector.train.loop.samples import Labelled
from detector.train.loop.settings import LoopSettings, loop_settings
from detector.train.loop.stage import LoopStage, StageData
from detector.train.loop.starting import start_model
from detector.train.plan import StagePlan
from detector.train.settings import TrainConfig
from detector.train.tree import Tree
from detector.train.windows import rectangle_of

FIGURES = "figures.json"


class LoopStages:
    """Settings, labels and first model of every stage, checked before any work; see detector.train.stages.Trainer."""

    def __init__(
        self, config: TrainConfig, stages: Sequence[StageConfig], recipes: Sequence[RecipeConfig], start: Path | str,
        tree: Tree,
    ) -> None:  # fmt: skip
        self._config, self._stages, self._recipes, self._tree = config, stages, recipes, tree
        given = {"val": not config.detector.train.blind, **config.detector.train.args}
        self._settings = [loop_settings(given, s.args, f"stages[{i}].args") for i, s in enumerate(stages)]
        self.arguments = [
            {**asdict(one), "imgsz": s.imgsz, "epochs": s.schedule_epochs or s.epochs, "recipe": asdict(recipe),
             "seed": config.seed}
            for one, s, recipe in zip(self._settings, stages, recipes, strict=True)
        ]  # fmt: skip
        self._accelerator = _accelerator(config, self._settings)
        train, val = (_labelled(tree, part) for part in ("train", "val"))
        self._train = train + val if config.detector.train.blind else train
        self._val = val
        if not any(len(labelled.centres) for labelled in val):
            raise InputError(f"{tree.path}: field 'val': its images have no boxes, so nothing could be judged")
        start_model(start, stages[0].imgsz, self._settings[0].atss_epochs)  # a file that cannot be used ends here

    def train(self, path: Path, plan: StagePlan, data_yaml: Path, start: Path | str, tracker: Tracker | None) -> None:
        """Train one stage in its folder, or go on with it."""
        import torch

        stage, settings = self._stages[plan.index - 1], self._settings[plan.index - 1]
        torch.manual_seed(self._config.seed)  # whatever the start leaves to chance
        model = start_model(start, stage.imgsz, settings.atss_epochs)
        shape = (stage.imgsz, stage.imgsz)
        if plan.rectangle:
            width, height = self._tree.sizes[self._train[0].path]
            shape = rectangle_of([(height, width)], stage.imgsz, model.stride) or shape
        shape = _multiples(shape, model.stride)
        model.imgsz = stage.imgsz
        data = StageData(self._train, self._val, shape, stage.imgsz, self._recipes[plan.index - 1])
        before = sum(s.epochs for s in self._stages[: plan.index - 1])
        if stage.state is StageState.kept:  # whose epochs are counted on from the stage before
            before = sum(s.epochs for s in self._stages[: plan.index - 2])
        schedule = stage.schedule_epochs or stage.epochs
        loop = LoopStage(
            path, plan, model, data, settings, self._config.seed, schedule, before, self._accelerator, tracker
        )
        figures = loop.run()
        if self._accelerator.is_main_process:
            write_json(path / FIGURES, figures)
        self._accelerator.wait_for_everyone()
        self._accelerator.free_memory()

    def metrics(self, path: Path) -> dict[str, object]:
        """AP, AP50, precision and recall of the epoch whose weights are the best."""
        return dict(read_json(path / FIGURES))

    def best(self, path: Path) -> Path:
        """Where a trained stage's best weights are."""
        return path / "weights" / "best"


def _labelled(tree: Tree, part: str) -> list[Labelled]:
    """Each image of a part with its boxes, whatever their class: every target is one."""
    pairs = zip(tree.images[part], tree.labels[part], strict=True)
    return [Labelled(image, target_boxes(labels)) for image, labels in pairs]


def _multiples(shape: tuple[int, int], stride: int) -> tuple[int, int]:
    height, width = (-(-side // stride) * stride for side in shape)
    return height, width


def _accelerator(config: TrainConfig, settings: Sequence[LoopSettings]) -> Accelerator:
    import torch

    world = int(os.environ.get("WORLD_SIZE", "1"))
    if isinstance(config.device, list) and len(config.device) > 1 and world == 1:
        raise InputError(
            "device: on several, this detector trains by accelerate launch -m detector.train, without device"
        )
    for number, one in enumerate(settings):
        if one.batch % world:
            raise InputError(f"stages[{number}].args.batch: {one.batch} cannot be shared by {world} processes")
    on_cpu = config.device == "cpu" or not torch.cuda.is_available()
    if not on_cpu and world == 1 and config.device is not None:
        torch.cuda.set_device(int(str(config.device).removeprefix("cuda:").strip("[]") or 0))
    precision: Any = "bf16" if settings[0].amp and not on_cpu else "no"
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # heads of matching that a batch leaves out
    return Accelerator(cpu=on_cpu, mixed_precision=precision, kwargs_handlers=[unused])
