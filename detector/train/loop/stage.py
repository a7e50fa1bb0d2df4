"""One stage of a training by our loop: every epoch a function of (seed, epoch) and the state at its beginning.

weights/best/, weights/last/   config.json and model.safetensors: the averaged weights
state/epoch_00007/             everything the next epoch depends on
results.csv                    a line an epoch, by the column names of Ultralytics
"""

import csv
import io
import os
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from core.files import write_text
from core.images import write_image
from core.progress import progress
from core.tracking import Tracker
from data.recipe import RecipeConfig
from detector.models.model import Model
from detector.train.loop.judging import judge
from detector.train.loop.samples import Labelled, TrainingSamples, collate, epoch_order
from detector.train.loop.settings import LoopSettings
from detector.train.loop.steps import Average, accumulation, make_optimizer, set_rates
from detector.train.plan import METRICS, StagePlan
from detector.train.sheets import batch_sheet
from detector.train.states import StateFolder
from eval.live.page import ANSWERS, AUGMENTED, LivePage, Shown

SHOWN = 3  # batches a stage is shown by


@dataclass(frozen=True)
class StageData:
    """What a stage trains on and is judged by."""

    train: list[Labelled]
    val: list[Labelled]
    shape_hw: tuple[int, int]  # of the training images
    imgsz: int  # long side when judged
    recipe: RecipeConfig


class LoopStage:
    """A stage; `run` begins it or goes on with it."""

    def __init__(
        self, path: Path, plan: StagePlan, model: Model, data: StageData, settings: LoopSettings, seed: int,
        num_epochs_of_schedule: int, epochs_before: int, accelerator: Accelerator, tracker: Tracker | None,
    ) -> None:  # fmt: skip
        self._path, self._plan, self._data, self._settings, self._seed = path, plan, data, settings, seed
        self._schedule, self._epochs_before = num_epochs_of_schedule, epochs_before
        self._accelerator, self._tracker = accelerator, tracker
        self._states = StateFolder(path / "state")
        self._samples = TrainingSamples(
            data.train, data.shape_hw, settings, data.recipe, seed, plan.crop, plan.crop_share
        )
        self._bare = model
        optimizer = make_optimizer(model, settings)
        self._average = Average(model.to(accelerator.device), settings.ema)
        self._model, self._optimizer = accelerator.prepare(model, optimizer)
        self._epoch, self._best, self._best_epoch = 0, -1.0, -1
        self._rows: list[dict[str, Any]] = []
        self._live = LivePage(path.parent, "detector.train")
        self._sheets: list[Shown] = []
        self._answered: list[Shown] = []

    def run(self) -> dict[str, float]:
        """Train to the stage's end; returns the figures of the epoch whose weights are the best."""
        self._take_up()
        first = self._epoch
        last = first + self._plan.num_epochs if self._plan.previous and not self._rows else self._last_epoch()
        while self._epoch < last and not self._out_of_patience():
            began = time.monotonic()
            figures = self._train_epoch(last)
            is_last = self._epoch + 1 >= last
            judged = self._judge() if self._settings.val or is_last else {}
            self._close_epoch(figures, judged, time.monotonic() - began)
        return {name: float(self._best_row()[column]) for name, column in METRICS.items()}

    def _last_epoch(self) -> int:
        return int(self._rows[0]["epoch"]) - 1 + self._plan.num_epochs if self._rows else self._plan.num_epochs

    def _out_of_patience(self) -> bool:
        return self._settings.val and self._best_epoch >= 0 and (
            self._epoch - 1 - self._best_epoch >= self._settings.patience
        )  # fmt: skip

    def _take_up(self) -> None:
        """Everything as this stage's newest state has it, or, for a stage that keeps it, the previous one's."""
        saved = self._states.load()
        if saved is None and self._plan.previous is not None:
            inherited = StateFolder(Path(self._plan.previous) / "state").load()
            if inherited is None:
                raise RuntimeError(f"{self._plan.previous}: the stage to go on from has no state")
            saved = {**inherited[0], "best": -1.0, "best_epoch": -1}, b""
        if saved is None:
            return
        state, rows = saved
        self._bare.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._average.updates = state["updates"]
        for name, value in state["ema"].items():
            self._average.values[name].copy_(value)
        self._epoch, self._best, self._best_epoch = state["epoch"] + 1, state["best"], state["best_epoch"]
        self._rows = list(csv.DictReader(io.StringIO(rows.decode())))

    def _train_epoch(self, last: int) -> dict[str, float]:
        """One pass over the data; returns the mean of each loss."""
        world, rank = self._accelerator.num_processes, self._accelerator.process_index
        seed = int(np.random.SeedSequence([self._seed, self._epoch, rank]).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self._samples.epoch = self._epoch
        self._samples.mixing = self._epoch < last - self._settings.close_mosaic
        order = epoch_order(len(self._samples), self._settings.batch, self._seed, self._epoch, rank, world)
        loader = DataLoader(
            self._samples, batch_sampler=order, collate_fn=collate, num_workers=self._settings.workers
        )  # type: ignore[arg-type]  # fmt: skip
        self._model.train()
        sums: dict[str, float] = {}
        every = accumulation(self._settings)
        bar = progress(loader, f"epoch {self._epoch + 1}/{last}") if self._accelerator.is_main_process else loader
        for number, batch in enumerate(bar):
            self._show(number, batch)
            set_rates(self._optimizer, self._settings, self._epoch * len(order) + number, len(order), self._schedule)
            parts = self._descend(batch, step=(number + 1) % every == 0 or number + 1 == len(order), every=every)
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / len(order)
        return sums

    def _descend(self, batch: dict[str, Any], step: bool, every: int) -> dict[str, torch.Tensor]:
        device = self._accelerator.device
        images = batch["images"].to(device).float() / 255
        targets = [
            (b.to(device), torch.zeros(len(b), dtype=torch.long, device=device)) for b in batch["boxes"]
        ]  # fmt: skip
        with self._accelerator.autocast():
            parts: dict[str, torch.Tensor] = self._model(images, targets, self._epochs_before + self._epoch)
        self._accelerator.backward(parts["loss"] / every)
        if step:
            self._accelerator.clip_grad_norm_(self._model.parameters(), self._settings.clip)
            self._optimizer.step()
            self._optimizer.zero_grad()
            self._average.update(self._bare)
        return parts

    def _show(self, number: int, batch: dict[str, Any]) -> None:
        if not self._settings.plots or self._rows or number >= SHOWN or not self._accelerator.is_main_process:
            return
        height, width = batch["images"].shape[-2:]
        boxes = torch.cat(batch["boxes"]) / torch.tensor([width, height, width, height])
        centres = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
        places = torch.tensor([i for i, b in enumerate(batch["boxes"]) for _ in range(len(b))])
        sheet = batch_sheet({"img": batch["images"], "bboxes": centres, "batch_idx": places})
        write_image(self._path / f"sample_{number}.jpg", sheet)
        self._sheets.append(Shown(sheet, f"stage {self._plan.index}, batch {number + 1}"))
        self._live.show(AUGMENTED, self._sheets)

    def _judge(self) -> dict[str, float]:
        """The averaged weights' figures, by the main process, told to all."""
        told: list[Any] = [None]
        if self._accelerator.is_main_process:
            training = {name: tensor.clone() for name, tensor in self._bare.state_dict().items()}
            self._bare.load_state_dict(self._average.values)
            self._answered.clear()
            judged_by = self._data.val, self._data.imgsz, self._accelerator.device
            told[0] = judge(self._bare.eval(), *judged_by, self._answered)
            self._bare.load_state_dict(training)
        if self._accelerator.num_processes > 1:
            torch.distributed.broadcast_object_list(told, src=0)
        return dict(told[0])

    def _close_epoch(self, losses: dict[str, float], judged: dict[str, float], took_s: float) -> None:
        """Keep the weights if they are the best, then the state, last: a killed epoch is made again, to the bit."""
        score = judged.get(self._plan.best_metric, -1.0)
        better = score > self._best or not self._settings.val or self._best_epoch < 0
        if better:
            self._best, self._best_epoch = score, self._epoch
        row = {"epoch": self._epoch + 1, "time": round(took_s, 2)}
        row |= {f"train/{name}": value for name, value in losses.items()}
        row |= {column: judged.get(name, float("nan")) for name, column in METRICS.items()}
        self._rows.append(row)
        if self._accelerator.is_main_process:
            self._write_weights("last")
            if better:
                self._write_weights("best")
            if self._settings.save_period > 0 and (self._epoch + 1) % self._settings.save_period == 0:
                self._write_weights(f"epoch{self._epoch + 1}")
            text = _as_csv(self._rows)
            write_text(self._path / "results.csv", text)
            self._states.save(self._state(), text.encode())
            if self._tracker is not None:
                self._tracker.log({**{k: v for k, v in row.items() if v == v}, **judged})
            if judged:
                self._live.show(ANSWERS, self._answered)
            self._live.write()
        self._accelerator.wait_for_everyone()
        self._epoch += 1

    def _state(self) -> dict[str, Any]:
        return {
            "epoch": self._epoch, "model": self._bare.state_dict(), "ema": self._average.values,
            "updates": self._average.updates, "optimizer": self._optimizer.state_dict(),
            "best": self._best, "best_epoch": self._best_epoch,
        }  # fmt: skip

    def _write_weights(self, name: str) -> None:
        training = {n: tensor.clone() for n, tensor in self._bare.state_dict().items()}
        self._bare.load_state_dict(self._average.values)
        target, partial = self._path / "weights" / name, self._path / "weights" / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        self._bare.write(partial)
        self._bare.load_state_dict(training)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)

    def _best_row(self) -> dict[str, Any]:
        return next(row for row in self._rows if int(row["epoch"]) == self._best_epoch + 1)


def _as_csv(rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
