"""Ultralytics' detection trainer, made exact, rectangular and tracked by subclassing; its files stay as users know."""

import os
import random
import shutil
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detector import environment as environment  # before any import of ultralytics

from ultralytics.data.utils import get_split_fraction  # isort: skip
from ultralytics.models.yolo.detect import DetectionTrainer  # isort: skip
from ultralytics.utils import DEFAULT_CFG, DEFAULT_CFG_DICT, LOCAL_RANK, RANK, colorstr  # isort: skip
from ultralytics.utils.torch_utils import strip_optimizer, torch_distributed_zero_first, unwrap_model  # isort: skip

import data.augment  # noqa: F401  (registers our transforms, so that A.from_dict can rebuild them in any process)
from core.images import write_image
from core.runs import RunFolder
from core.tracking import Tracker, TrackingConfig, TrackingMode, start_tracker
from detector.train.dataset import LabelledSet, TrainingSet, require_live_recipe
from detector.train.plan import METRICS, StagePlan
from detector.train.sheets import batch_sheet
from detector.train.states import StateFolder, capture, restore
from detector.train.validator import KeepingValidator
from eval.live.page import ANSWERS, AUGMENTED, LivePage, Shown

SHOWN = 3  # batches a stage is shown by


class StageTrainer(DetectionTrainer):
    """Trains one stage; `plan.json` in its folder says which.

    An epoch depends on the state at its beginning and on (seed, epoch) only, so a run that was killed goes on from its
    last complete epoch to the same weights, bit for bit on a CPU.
    """

    tracker: Tracker | None = None
    last: Path
    best: Path
    wdir: Path
    best_fitness: Any
    model: Any

    def __init__(self, cfg: Any = DEFAULT_CFG, overrides: dict[str, Any] | None = None, _callbacks: Any = None) -> None:
        folder = Path((overrides or {})["save_dir"])
        self.plan = StagePlan.read(folder)
        self.states = StateFolder(folder / "state")
        saved = self.states.load()
        self.state = None if saved is None else saved[0]
        self.saved_rows = b"" if saved is None else saved[1]
        super().__init__(cfg, overrides, _callbacks)
        if self.device.type == "cpu":  # Ultralytics leaves a core idle there and loads in the main process
            self.args.workers = (overrides or {}).get("workers", 0)
            cores = int(os.environ["OMP_NUM_THREADS"].split(",")[0])  # threads that outnumber them spin: 8 times slower
            torch.set_num_threads(max(1, cores - self.args.workers))
        self.live, self.sheets = LivePage(folder.parent, "detector.train"), list[Shown]()
        self.last_step = -1  # number of the batch after which the optimizer last stepped
        self.batch_number = -1
        self.pending: list[torch.Tensor | None] | None = None  # gradients to put back once the loop has zeroed them
        for event in ("on_train_epoch_start", "on_train_batch_start", "on_train_batch_end", "on_fit_epoch_end"):
            ours = getattr(StageTrainer, f"_{event}")
            if ours not in self.callbacks[event]:  # the processes of a multi-GPU run are handed the parent's callbacks
                self.add_callback(event, ours)

    # data: our training set, the recipe that must be live in it, and its order

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
        """Our sets, whose images and labels our own reader reads; Ultralytics' shapes and padding."""
        given = {
            "img_path": img_path, "imgsz": self.args.imgsz, "batch_size": batch, "hyp": copy(self.args),
            "cache": self.args.cache or None, "single_cls": self.args.single_cls or False,
            "stride": max(int(unwrap_model(self.model).stride.max()), 32), "prefix": colorstr(f"{mode}: "),
            "task": "detect", "classes": self.args.classes, "data": self.data,
            "fraction": get_split_fraction(self.args.fraction, mode),
        }  # fmt: skip
        if mode != "train":
            return LabelledSet(**given, augment=False, rect=True, pad=0.5)
        return TrainingSet(**given, augment=True, rect=False, pad=0.0, plan=self.plan)

    def set_model_attributes(self) -> None:
        """Ultralytics' own, on a CPU with the model laid out channels last: a fifth less time a step, measured."""
        super().set_model_attributes()
        if self.device.type == "cpu":
            self.model = self.model.to(memory_format=torch.channels_last)

    def _build_train_pipeline(self) -> None:
        super()._build_train_pipeline()
        self.last_step = -1
        require_live_recipe(self.train_loader.dataset.transforms, self.args.augmentations)

    def _close_dataloader_mosaic(self) -> None:
        super()._close_dataloader_mosaic()
        require_live_recipe(self.train_loader.dataset.transforms, self.args.augmentations)
        self._seed_epoch()

    def _seed_epoch(self) -> None:
        """Make everything random in this epoch a function of (seed, epoch, rank), and forget the epochs before it."""
        seed = int(np.random.SeedSequence([self.args.seed, self.epoch, RANK + 1]).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self.train_loader.generator.manual_seed(seed)
        self.train_loader.dataset.forget_buffer()
        self.train_loader.reset()

    def _on_train_epoch_start(self) -> None:
        self._seed_epoch()
        if self.pending is not None:
            for parameter, gradient in zip(unwrap_model(self.model).parameters(), self.pending, strict=True):
                parameter.grad = None if gradient is None else gradient.to(parameter.device)
            self.pending = None
        self.batch_number = self.epoch * len(self.train_loader) - 1

    # optimizer steps: Ultralytics counts them in a local variable that a resumed run cannot set

    def optimizer_step(self) -> None:
        """Do nothing: the step is taken at the end of the batch, by a count that survives a kill."""

    def _on_train_batch_start(self) -> None:
        self.batch_number += 1

    def _on_train_batch_end(self) -> None:
        if self.batch_number - self.last_step >= self.accumulate:
            super().optimizer_step()
            self.last_step = self.batch_number

    # the stage's beginning and end

    def resume_training(self, ckpt: Any) -> None:
        """Go on from this stage's own state, or begin with the full state that the previous stage ended with."""
        self.first_epoch = 0
        if self.plan.previous is not None:
            inherited = StateFolder(Path(self.plan.previous) / "state").load()
            if inherited is None:
                raise RuntimeError(f"{self.plan.previous}: the stage to go on from has no state")
            self.first_epoch = inherited[0]["epoch"] + 1
            if self.state is None:
                restore(self, inherited[0])
                # Another resolution is another contest: the epoch that is best at it is sought anew.
                self.best_fitness, self.fitness = None, None
                self.stopper.best_fitness, self.stopper.best_epoch = 0.0, self.first_epoch
                self.last_step, self.pending = self.first_epoch * len(self.train_loader) - 1, None
                self.start_epoch = self.first_epoch
        if self.state is not None:
            restore(self, self.state)
            if RANK in {-1, 0}:  # not before all processes are here: each deletes the file as it begins
                self.csv.write_bytes(self.saved_rows)  # the rows of an epoch that was not completed are dropped
            self.start_epoch = self.state["epoch"] + 1
            print(f"going on from epoch {self.start_epoch} of {self.epochs}")
        self.end_epoch = min(self.first_epoch + (self.plan.num_epochs or self.epochs), self.epochs)

    def _do_train(self) -> None:
        self._open_tracker()
        goes_on = self.plan.extended and self.state is not None and self.state["epoch"] + 1 < self.plan.num_epochs
        if self.state is None or not self.state["finished"] or goes_on:
            super()._do_train()
            return
        if self.world_size > 1:  # killed after its last epoch: only the closing remains
            self._setup_ddp()
        self._setup_train()
        self.epoch = self.state["epoch"]
        self.final_eval()

    def _on_fit_epoch_end(self) -> None:
        if self.epoch + 1 >= self.end_epoch:
            self.stop = True
        if RANK in {-1, 0} and self.epoch < self.end_epoch:
            if self.tracker is not None:
                self._track()
            self._show()
            if self.stop and RANK == 0 and self.tracker is not None:
                self.tracker.finish()

    def get_validator(self) -> Any:
        """Ultralytics' own, which keeps a few images with their answers."""
        own = super().get_validator()  # names the losses
        return KeepingValidator(own.dataloader, save_dir=own.save_dir, args=own.args, _callbacks=self.callbacks)

    def validate(self) -> tuple[Any, Any]:
        """Ultralytics' validation, with the fitness that the plan asks for."""
        best = self.best_fitness
        metrics, fitness = super().validate()
        if metrics is None:
            return None, None
        name = METRICS[self.plan.best_metric]
        fitness = float(metrics.get(name, fitness))
        self.best_fitness = fitness if best is None else max(best, fitness)
        return metrics, fitness

    # files

    def save_model(self) -> bool:
        """Write last.pt, best.pt and epochN.pt as Ultralytics does but atomically, then the exact state."""
        last, best, folder = self.last, self.best, self.wdir
        partial = folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        self.wdir, self.last, self.best = partial, partial / last.name, partial / best.name
        try:
            saved = super().save_model()
        finally:
            self.wdir, self.last, self.best = folder, last, best
        for path in sorted(partial.glob("*.pt")):
            path.replace(folder / path.name)
        shutil.rmtree(partial, ignore_errors=True)
        finished = bool(self.stop) or self.epoch + 1 >= self.end_epoch
        self.states.save(capture(self, finished), self.csv.read_bytes())
        return bool(saved)

    def final_eval(self) -> None:
        """Strip the optimizer from last.pt and best.pt, atomically, then validate the best as Ultralytics does."""
        with torch_distributed_zero_first(LOCAL_RANK):
            if RANK in {-1, 0}:
                kept = {k: v for k, v in vars(self.args).items() if k in DEFAULT_CFG_DICT or k == "augmentations"}
                updates = {"train_results": self.read_results_csv(), "train_args": kept}
                for path in (self.last, self.best):
                    if path.is_file():
                        partial = path.with_suffix(".partial")
                        strip_optimizer(path, s=str(partial), updates=updates)
                        partial.replace(path)
        if self.best.is_file():
            self.validator.args.plots = self.args.plots
            self.validator.args.compile = False
            self.metrics = self.validator(model=self.best)
            self.metrics.pop("fitness", None)

    def train(self) -> None:
        """Train in this process, or start one process a GPU."""
        if self.ddp:
            self.resume = True  # or Ultralytics deletes the folder, with our plan and states in it
        super().train()

    def _handle_nan_recovery(self, epoch: int) -> bool:
        recovered = bool(super()._handle_nan_recovery(epoch))
        if recovered:
            self.last_step = -1
        return recovered

    # what is shown and told of the stage

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Ultralytics' own, after keeping an image of the stage's first batches as the network will see them."""
        number = self.batch_number - self.start_epoch * len(self.train_loader)
        if RANK in {-1, 0} and number < SHOWN:
            sheet = batch_sheet(batch)
            write_image(self.save_dir / f"sample_{number}.jpg", sheet)
            self.sheets.append(Shown(sheet, f"stage {self.plan.index}, batch {number + 1}"))
            self.live.show(AUGMENTED, self.sheets)
            if self.tracker is not None:
                self.tracker.log_images(f"stage_{self.plan.index}/augmented", [sheet])
        batch = super().preprocess_batch(batch)
        if self.device.type == "cpu":
            batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        return dict(batch)

    def _track(self) -> None:
        assert self.tracker is not None
        losses = self.label_loss_items(self.tloss) if self.tloss else {}
        named = {name: self.metrics[key] for name, key in METRICS.items() if key in self.metrics}
        values = {**named, **losses, **self.metrics, **self.lr}
        self.tracker.log({"stage": self.plan.index, "epoch": self.epoch + 1, **values})

    def _show(self) -> None:
        """The page with this epoch's curves and, where it was validated, images."""
        kept = getattr(self.validator, "kept", [])
        if kept:
            self.live.show(ANSWERS, kept)
        self.live.write()

    def _open_tracker(self) -> None:
        """Rank 0 of several processes tracks by itself: the process that started them does not see the epochs."""
        if RANK == 0 and self.tracker is None and self.plan.run_dir:
            folder = RunFolder(Path(self.plan.run_dir), "detector.train")
            tracking = {**self.plan.tracking, "mode": TrackingMode[self.plan.tracking.get("mode", "auto")]}
            self.tracker = start_tracker(TrackingConfig(**tracking), folder, "detector.train", vars(self.args))
