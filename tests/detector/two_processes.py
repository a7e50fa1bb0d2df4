"""One of two gloo processes of test_rectangular: trains two rectangular epochs and reports what it saw.

Ultralytics has no multi-process CPU training: the process group's backend, the device and DDP's device_ids are
patched, and the validator, which asks for CUDA, is left out.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn

from detector import environment as environment  # before any import of ultralytics

from detector.plan import StagePlan  # isort: skip
from detector.rectangular import RectangularMosaic  # isort: skip
from detector.trainer import StageTrainer  # isort: skip


class TwoProcessTrainer(StageTrainer):
    """A stage trainer over gloo."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.world_size, self.ddp = 2, False
        self.seen: set[str] = set()
        self.shapes: set[tuple[int, ...]] = set()

    def _setup_ddp(self) -> None:
        distributed.init_process_group("gloo")

    def preprocess_batch(self, batch: dict) -> dict:
        self.seen |= set() if self.epoch else {Path(f).name for f in batch["im_file"]}
        self.shapes |= {tuple(image.shape) for image in batch["img"]}
        return super().preprocess_batch(batch)

    def validate(self) -> tuple[dict, float]:
        return {}, 0.0

    def final_eval(self) -> None:
        pass


def main(tree: str, model: str, run: str) -> None:
    from albumentations import to_dict

    from data.augment import detector_transforms
    from data.recipe import RecipeConfig

    original = nn.parallel.DistributedDataParallel.__init__

    def on_cpu(self: Any, module: nn.Module, device_ids: Any = None, **kwargs: Any) -> None:
        original(self, module, device_ids=None, **kwargs)

    nn.parallel.DistributedDataParallel.__init__ = on_cpu  # type: ignore[method-assign]
    folder = Path(run)
    folder.mkdir(parents=True, exist_ok=True)
    StagePlan(rectangle=True, num_epochs=2).write(folder)
    recipe = RecipeConfig(name="flips", steps=[{"op": "flip", "p": 0.5}])
    trainer = TwoProcessTrainer(
        overrides={
            "data": f"{tree}/data.yaml", "model": model, "save_dir": run, "epochs": 2, "imgsz": 96, "batch": 4,
            "nbs": 4, "device": "cpu", "plots": False, "amp": False, "exist_ok": True, "mixup": 0.5,
            "close_mosaic": 0, "single_cls": True, "augmentations": [to_dict(t) for t in detector_transforms(recipe)],
        }
    )  # fmt: skip
    trainer.train()
    weights = torch.cat([p.detach().flatten() for p in trainer.model.module.parameters()]).numpy().tobytes()
    transforms = trainer.train_loader.dataset.transforms.transforms
    report = {
        "weights": hashlib.sha256(weights).hexdigest(),
        "shapes": sorted(trainer.shapes),
        "pictures": sorted(trainer.seen),
        "mosaic": any(isinstance(t, RectangularMosaic) and t.p == 1.0 for t in transforms[0].transforms),
        "recipe_live": "Flip" in str(transforms[3].transform),
    }
    rank = distributed.get_rank()
    (folder / f"rank_{rank}.json").write_text(json.dumps(report))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
