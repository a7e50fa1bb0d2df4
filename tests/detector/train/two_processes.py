"""One of two gloo processes of test_rectangular: trains two rectangular epochs and reports what it saw.

It trains a second time, dies at the beginning of the second epoch and goes on from there.

Ultralytics has no multi-process CPU training: the process group's backend, the device and DDP's device_ids are
patched, and the validator, which asks for CUDA, is left out.
"""

import contextlib
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn

from detector import environment as environment  # before any import of ultralytics

from detector.train.plan import StagePlan  # isort: skip
from detector.train.rectangular import RectangularMosaic  # isort: skip
from detector.train.trainer import StageTrainer  # isort: skip


class Killed(BaseException):
    """Stands for a signal."""


class TwoProcessTrainer(StageTrainer):
    """A stage trainer over gloo."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.world_size, self.ddp = 2, False
        self.seen: set[str] = set()
        self.shapes: set[tuple[int, ...]] = set()
        self.dies_at = -1  # epoch

    def _setup_ddp(self) -> None:
        if not distributed.is_initialized():
            distributed.init_process_group("gloo")

    def _model_train(self) -> None:
        if self.epoch == self.dies_at:
            raise Killed
        super()._model_train()

    def preprocess_batch(self, batch: dict) -> dict:
        self.seen |= set() if self.epoch else {Path(f).name for f in batch["im_file"]}
        self.shapes |= {tuple(image.shape) for image in batch["img"]}
        return super().preprocess_batch(batch)

    def validate(self) -> tuple[dict, float]:
        return {}, 0.0

    def final_eval(self) -> None:
        pass


def make_trainer(tree: str, model: str, folder: Path) -> TwoProcessTrainer:
    """A trainer of two epochs with mosaic, mixup and a recipe of flips; goes on where the folder's state ends."""
    from albumentations import to_dict

    from data.augment import detector_transforms
    from data.recipe import RecipeConfig

    folder.mkdir(parents=True, exist_ok=True)
    StagePlan(rectangle=True, num_epochs=2).write(folder)
    recipe = RecipeConfig(name="flips", steps=[{"op": "flip", "p": 0.5}])
    return TwoProcessTrainer(
        overrides={
            "data": f"{tree}/data.yaml", "model": model, "save_dir": str(folder), "epochs": 2, "imgsz": 96, "batch": 4,
            "nbs": 4, "device": "cpu", "plots": False, "amp": False, "exist_ok": True, "mixup": 0.5,
            "close_mosaic": 0, "single_cls": True, "augmentations": [to_dict(t) for t in detector_transforms(recipe)],
        }
    )  # fmt: skip


def report_of(trainer: TwoProcessTrainer) -> dict[str, Any]:
    weights = torch.cat([p.detach().flatten() for p in trainer.model.module.parameters()]).numpy().tobytes()
    transforms = trainer.train_loader.dataset.transforms.transforms
    return {
        "weights": hashlib.sha256(weights).hexdigest(),
        "start": trainer.start_epoch,
        "shapes": sorted(trainer.shapes),
        "images": sorted(trainer.seen),
        "mosaic": any(isinstance(t, RectangularMosaic) and t.p == 1.0 for t in transforms[0].transforms),
        "recipe_live": "Flip" in str(transforms[3].transform),
    }


def main(tree: str, model: str, run: str) -> None:
    original = nn.parallel.DistributedDataParallel.__init__

    def on_cpu(self: Any, module: nn.Module, device_ids: Any = None, **kwargs: Any) -> None:
        original(self, module, device_ids=None, **kwargs)

    nn.parallel.DistributedDataParallel.__init__ = on_cpu  # type: ignore[method-assign]
    whole = make_trainer(tree, model, Path(run) / "whole")
    whole.train()
    killed = make_trainer(tree, model, Path(run) / "killed")
    killed.dies_at = 1
    with contextlib.suppress(Killed):
        killed.train()
    again = make_trainer(tree, model, Path(run) / "killed")
    again.train()
    rank = distributed.get_rank()
    reports = {"whole": report_of(whole), "again": report_of(again)}
    (Path(run) / f"rank_{rank}.json").write_text(json.dumps(reports))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
