"""Training steps of detectors, through the trainers that `detector.train` uses, loading and augmentation included."""

import contextlib
import importlib
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.gpu.clock import free, in_turns, peak_gib, wait
from benchmarks.gpu.lines import ROOT, Line
from benchmarks.gpu.sizes import Sizes
from benchmarks.rectangular import draw_tree


class Enough(BaseException):
    """The batches that were wanted are done."""


class Pace:
    """Counts batches as they end and stops the training after the last; `batch_s` is a timed one's mean."""

    def __init__(self, sizes: Sizes, device: str) -> None:
        self._last, self._warm, self._device = sizes.batches, sizes.warm_batches, device
        self._ends: list[float] = []

    def tick(self, *_: Any) -> None:
        """A batch has ended."""
        wait(self._device)
        self._ends.append(time.perf_counter())
        if len(self._ends) == self._last:
            raise Enough

    @property
    def batch_s(self) -> float:
        """Seconds from one batch's end to the next one's."""
        if len(self._ends) < self._last:
            raise RuntimeError(f"the training ended after {len(self._ends)} of {self._last} batches")
        return (self._ends[-1] - self._ends[self._warm - 1]) / (self._last - self._warm)


def yolov9e(sizes: Sizes, device: str, stage: int) -> list[Line]:
    """A step of the preset's first (1280) or second stage (1600) with recipe V3, against Ultralytics' trainer's."""
    importlib.import_module("detector.environment")  # before ultralytics
    import ultralytics
    from ultralytics.engine import trainer as engine

    # its check of half precision would fetch weights; both trainers go without
    unchecked = contextlib.nullcontext() if device == "cpu" else patch.object(engine, "check_amp", lambda model: True)
    with tempfile.TemporaryDirectory() as scratch, unchecked:
        root = Path(scratch)
        settings = _settings(sizes, device, stage)
        settings["data"] = str(draw_tree(root / "tree", settings["batch"] * sizes.batches))
        runs = iter(range(100))
        ways = {
            "ours": lambda: _train(root / f"ours{next(runs)}", settings, sizes, device, exact=True),
            "theirs": lambda: _train(root / f"theirs{next(runs)}", settings, sizes, device, exact=False),
        }
        took = in_turns(ways, sizes.rounds)
    name = f"{Path(sizes.yolov9).stem} {settings['imgsz']} px, batch {settings['batch']}, V3"
    return [Line(
        name, f"{1000 * took['ours']:.0f} ms a batch", f"Ultralytics {ultralytics.__version__}'s trainer "
        f"{1000 * took['theirs']:.0f} ms", took["theirs"] / took["ours"], 1.0 if sizes.goals else None,
    )]  # fmt: skip


def _settings(sizes: Sizes, device: str, stage: int) -> dict[str, Any]:
    """Ultralytics' arguments of a stage of the preset yolov9e with recipe V3."""
    import yaml
    from albumentations import to_dict

    from data.augment import detector_transforms
    from data.recipe import RecipeConfig

    preset = yaml.safe_load((ROOT / "configs/detector/yolov9e.yaml").read_text(encoding="utf-8"))["train"]
    recipe = RecipeConfig(**yaml.safe_load((ROOT / "configs/recipe/v3.yaml").read_text(encoding="utf-8")))
    return {
        **preset["args"], **preset["stages"][stage].get("args", {}), "task": "detect", "mode": "train",
        "single_cls": True, "plots": False, "val": False, "save_period": -1, "model": sizes.yolov9,
        "imgsz": sizes.yolov9_sides[stage], "epochs": 1, "close_mosaic": 0, "device": "cpu" if device == "cpu" else "0",
        "workers": sizes.workers, "exist_ok": True, "seed": 0,
        "augmentations": [to_dict(t) for t in detector_transforms(recipe)],
    }  # fmt: skip


def _train(folder: Path, settings: dict[str, Any], sizes: Sizes, device: str, exact: bool) -> float:
    """Seconds a batch of a training by our trainer or by Ultralytics' own."""
    from ultralytics.models.yolo.detect import DetectionTrainer

    from detector.train.plan import StagePlan
    from detector.train.trainer import StageTrainer

    folder.mkdir()
    StagePlan().write(folder)
    trainer = (StageTrainer if exact else DetectionTrainer)(overrides={**settings, "save_dir": str(folder)})
    pace = Pace(sizes, device)
    trainer.add_callback("on_train_batch_end", pace.tick)
    try:
        with contextlib.suppress(Enough):  # what Pace ends it with after its batches
            trainer.train()
    finally:
        del trainer
        free(device)
    return pace.batch_s


def yolov6l6(sizes: Sizes, device: str) -> list[Line]:
    """A batch of YOLOv6-L6 at 1536x896 with recipe V3 without flips, by our loop; the time alone."""
    with tempfile.TemporaryDirectory() as scratch:
        free(device)
        stage, shape, pace = _loop_stage(sizes, device, Path(scratch))
        with contextlib.suppress(Enough):
            stage.run()
        peak = peak_gib(device)
    held = "" if peak is None else f", {peak:.1f} GiB"
    height, width = shape
    rate = sizes.yolov6_batch / pace.batch_s
    name = f"YOLOv6{'-L6' if sizes.is_full else ''} {width}x{height}, batch {sizes.yolov6_batch}"
    return [Line(name, f"{1000 * pace.batch_s:.0f} ms a batch, {rate:.1f} images/s{held}")]


def _loop_stage(sizes: Sizes, device: str, root: Path) -> tuple[Any, tuple[int, int], Pace]:
    """A stage of the preset yolov6l6 from random weights, which stops when its pace has seen enough."""
    import torch
    import yaml
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    from data.recipe import RecipeConfig
    from detector.models.yolov6 import YoloV6Model
    from detector.train.loop.samples import Labelled
    from detector.train.loop.settings import loop_settings
    from detector.train.loop.stage import LoopStage, StageData
    from detector.train.plan import StagePlan
    from detector.yolov6.graph import Graph
    from detector.yolov6.network import YoloV6

    pace = Pace(sizes, device)

    class PacedStage(LoopStage):
        def _descend(self, *given: Any, **named: Any) -> dict[str, torch.Tensor]:
            parts = super()._descend(*given, **named)
            pace.tick()
            return parts

    preset = yaml.safe_load((ROOT / "configs/detector/yolov6l6.yaml").read_text(encoding="utf-8"))["train"]
    recipe = RecipeConfig(**yaml.safe_load((ROOT / "configs/recipe/v3_noflip.yaml").read_text(encoding="utf-8")))
    here = {"batch": sizes.yolov6_batch, "workers": sizes.workers, "val": False, "plots": False, "save_period": -1}
    settings = loop_settings({**preset["args"], **here}, {}, "stages[0].args")
    AcceleratorState._reset_state(reset_partial_state=True)
    on_cpu = device == "cpu"
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="no" if on_cpu else "bf16")
    draw_tree(root / "tree", sizes.yolov6_batch * sizes.batches)
    paths = sorted((root / "tree/images/train").iterdir())
    labels = [(root / "tree/labels/train" / f"{path.stem}.txt").read_text() for path in paths]
    boxes = [np.asarray([line.split()[1:] for line in text.splitlines()], np.float32) for text in labels]
    data = [Labelled(path, centres) for path, centres in zip(paths, boxes, strict=True)]
    side = sizes.yolov6_side
    shape = (-(-side * 870 // 1520 // 64) * 64, side)
    torch.manual_seed(0)
    model = YoloV6Model(YoloV6(Graph(num_classes=1, **sizes.yolov6)), side)
    stage = PacedStage(root / "stage", StagePlan(num_epochs=100), model, StageData(data, data, shape, side, recipe),
                       settings, 0, 100, 0, accelerator, None)  # fmt: skip
    return stage, shape, pace
