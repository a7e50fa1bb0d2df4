"""The training loop of the scorer: epochs of steps, states to go on from, validation, and the folders left behind."""

import time
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from core.errors import InputError
from core.runs import RunFolder
from core.settings import plain, refuse_changes
from core.stages import require_policy
from core.tracking import start_tracker
from core.warping import WARP
from eval.live.page import ANSWERS, AUGMENTED, LivePage, Shown
from siglip.annotated import read_annotated
from siglip.crops import read_crops
from siglip.detected import DetectedCrops, read_detected
from siglip.loss.gathering import num_processes, rank
from siglip.loss.vocabulary import word_table
from siglip.model import choose_template, load_parts, make_model, text_length, tokens
from siglip.train.advice import advice
from siglip.train.answers import answers
from siglip.train.checks import check
from siglip.train.freezing import add_lora, count_weights, freeze
from siglip.train.images import Images, Step, split_recipe
from siglip.train.launching import Stopped, StopSignal, make_accelerator
from siglip.train.probing import probe, sheet
from siglip.train.publish.finishing import Finisher
from siglip.train.schedule import parameter_groups, rate_factor
from siglip.train.settings import DecayOn, TrainConfig
from siglip.train.states import StateFolder
from siglip.train.steps import NotFiniteError, Stepper
from siglip.train.towers import add_word_head, bind_pair_forward
from siglip.train.validation import Best, LiveScorer, validate
from siglip.weights import find_scorer

# Settings that change neither the weights nor the log, so that a run may go on with others.
FREE = ("run_dir", "tracking", "allow_changes", "workers", "cache_gb", "save_every", "save_epochs", "probe",
        "push_to_hub", "published", "device", "decoding", "crops", "val_crops", "candidates", "candidate_crops",
        "images", "weights_dir")  # fmt: skip


def train(config: TrainConfig, folder: RunFolder) -> dict[str, Any]:
    """Train from a checkpoint, or from scratch when the scorer has an architecture; returns the last figures."""
    check(config)
    if config.scorer.weights:
        find_scorer(config.scorer.weights)  # before crops are read and images decoded
    training = Training(config, folder)
    try:
        with training.live.lasting() if folder.is_main else nullcontext():
            return training.run()
    finally:
        training.tracker.finish()


class Training:
    """One training, fresh or taken up where it stopped."""

    def __init__(self, config: TrainConfig, folder: RunFolder) -> None:
        self.config, self.folder = config, folder
        self.accelerator = make_accelerator(config)
        self.stop = StopSignal()
        torch.manual_seed(config.seed)
        crops = read_crops(config.crops) if config.images is None else read_annotated(config.crops, config.images)
        self.val_crops = None if config.val_crops is None else read_crops(config.val_crops, "val_crops")
        self.detected = _detected(config, crops.policy)
        model, self.processor, self.template = _start(config, sorted(set(crops.captions)))
        data = {"crops": crops.digest(), "val_crops": self.val_crops.digest() if self.val_crops else None}
        refuse_changes(folder.path, _fixed(config) | data, config.allow_changes, write=folder.is_main)
        self.images = Images(crops, config.recipe, config.seed, self.processor.image_processor, config.cache_gb)
        self.counts, self.text_length = count_weights(model), text_length(model.config)
        self.finisher = Finisher(config, folder, model, self.processor, self._remembered())
        optimizer = torch.optim.AdamW(
            parameter_groups(model, config.weight_decay, config.decay_on is DecayOn.text, config.layer_decay),
            lr=config.lr, betas=(config.betas[0], config.betas[1]),
        )  # fmt: skip
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.states = StateFolder(folder.path / "state")
        self._take_up()
        self.tracker = start_tracker(config.tracking, folder, "siglip.train", plain(asdict(config)))
        self.live = LivePage(folder.path, "siglip.train")
        self._prepare_steps()

    def _remembered(self) -> dict[str, Any]:
        captions, policy = self.images.distinct, self.images.crops.policy
        return {"template": self.template, "policy": policy, "captions": captions}

    def _take_up(self) -> None:
        """Go on from the newest complete state, or begin; the log loses what came after that state."""
        found = self.states.load(self.model, self.optimizer.optimizer) or {}
        self.step, self.epoch = int(found.get("step", 0)), int(found.get("epoch", 0))
        self.losses: list[float] = list(found.get("losses", []))
        self.best = Best(**found.get("best", {}))
        self.figures: dict[str, float] = dict(found.get("figures", {}))  # of the last step
        history = self.folder.path / "history.jsonl"
        if self.folder.is_main and history.is_file():
            with open(history, "r+b") as stream:
                stream.truncate(int(found.get("history_bytes", 0)))
        if found and self.folder.is_main:
            print(f"going on from step {self.step} (epoch {self.epoch + 1})", flush=True)

    def _prepare_steps(self) -> None:
        config = self.config
        self.steps_per_epoch = -(-len(self.images) // config.batch.size)
        self.num_steps = config.epochs * self.steps_per_epoch
        input_ids = tokens(self.processor, self.images.distinct, self.template, self.text_length)["input_ids"]
        self.stepper = Stepper(
            config, self.accelerator, self.model, self.optimizer, self.images, self.processor,
            input_ids.to(self.accelerator.device), self.stop.check,
        )  # fmt: skip
        self.stepper.figures = self.figures
        batch = min(config.batch.micro or 64, 64)
        self.scorer = LiveScorer(
            self.model, self.processor, self.template, self.text_length, self.accelerator.device, batch
        )
        self.scorer.between = self.stop.check
        self.began, self.taken = time.monotonic(), 0

    def run(self) -> dict[str, Any]:
        """All epochs that are left; returns the last figures."""
        figures: dict[str, Any] = {}
        try:
            while self.epoch < self.config.epochs:
                self._train_epoch()
                figures = self._close_epoch()
                if self._out_of_patience():
                    print(f"stopping: no better validation for {self.config.patience} epochs", flush=True)
                    break
                self.epoch, self.losses = self.epoch + 1, []
        except Stopped:
            self._save()
            if self.folder.is_main:
                print(f"SIGTERM: state saved at step {self.step}; the same command goes on from there", flush=True)
            raise
        except NotFiniteError:  # other bad input may have met one process alone, and saving takes all
            self.optimizer.zero_grad(set_to_none=True)
            self._save()
            raise
        figures |= {"num_steps": self.step, "num_pairs": len(self.images), **self.counts}
        if self.best.value is not None:
            figures |= {f"best_{name}": v for name, v in self.best.metrics.items()} | {"best_epoch": self.best.epoch}
        told = advice(figures)
        figures |= {} if told is None else {"advice": told}
        self.finisher.close(self.model, figures, self.tracker, self.best.value is not None)
        return figures

    def _train_epoch(self) -> None:
        """The steps of this epoch that are left."""
        first = self.step - self.epoch * self.steps_per_epoch
        batches = self.images.batches(
            self.epoch, first, self.config.batch.size, rank(), num_processes(), self.config.workers
        )
        for step, images in batches:
            if self.taken == 0:
                self._look(step, images)
            seed = np.random.SeedSequence([self.config.seed, self.step, rank()]).generate_state(1)[0]
            torch.manual_seed(int(seed))  # dropout; nothing random needs to be kept
            self.losses.append(self.stepper.take(step, images, self._rate))
            self.step, self.taken = self.step + 1, self.taken + len(step.crops)
            if self.config.log_every and self.step % self.config.log_every == 0:
                self.tracker.log(self._figures(), step=self.step)
            if self.config.save_every and self.step % self.config.save_every == 0:
                self._save()
            self.stop.check()

    def _look(self, step: Step, images: list[Any]) -> None:
        """Before the first step: are the images what the recipe makes? And a sheet of them for the eye."""
        if not self.folder.is_main:
            return
        if self.config.probe:
            seen = probe(self.images, self.epoch, step, images, self.processor.image_processor)
            self.tracker.summary({f"probe/{name}": value for name, value in seen.items()})
        made = sheet(images, self.folder.path / f"sample_{self.step}.jpg")
        self.tracker.log_images("augmented", [made], step=self.step)
        self.live.show(AUGMENTED, [Shown(made)])
        self.live.write()

    def _rate(self, group: dict[str, Any]) -> float:
        factor = rate_factor(self.step, self.num_steps, self.config.warmup)
        return float(self.config.lr * factor * group["share"])

    def _figures(self) -> dict[str, float]:
        seconds = time.monotonic() - self.began
        factor = rate_factor(self.step - 1, self.num_steps, self.config.warmup)
        return {**self.stepper.figures, "lr": self.config.lr * factor, "samples_per_s": self.taken / seconds}

    def _close_epoch(self) -> dict[str, Any]:
        """Keep the state, then validate: a run that is killed in between validates again."""
        if not self.config.save_every or self.step % self.config.save_every:
            self._save()
        epoch = self.epoch + 1
        figures: dict[str, Any] = {"epoch": epoch, "loss": float(np.mean(self.losses))}
        if self.stepper.figures:
            last = self._figures()
            timed = ("samples_per_s",) if self.taken else ()  # all of its steps may have been an earlier process's
            figures |= {name: last[name] for name in ("lr", "scale", "bias", *timed)}
        judged: dict[str, float] = {}
        if self._is_judged:
            judged = validate(self.scorer, self.val_crops, self.detected, self.model)
            figures |= judged
        answered = answers(self.scorer, self.val_crops, self.detected, self.model)
        self.tracker.log(figures, step=self.step)
        if self.folder.is_main:
            self.live.show(ANSWERS, answered)
            self.live.write()
            shown = ", ".join(f"{k} {v:.4g}" for k, v in figures.items() if k != "epoch")
            again = "" if self.taken else " (trained before; judged again)"
            print(f"epoch {epoch}/{self.config.epochs}{again}: {shown}", flush=True)
        if judged and self.best.beaten_by(judged, self.config.best_metric.name, epoch):
            self.finisher.publish("best", self.model, figures)
        if self.config.save_epochs:
            self.finisher.publish(f"epochs/epoch_{epoch:03d}", self.model, figures)
        return figures

    @property
    def _is_judged(self) -> bool:
        return self.val_crops is not None or self.detected is not None

    def _out_of_patience(self) -> bool:
        patience = self.config.patience
        return patience > 0 and self._is_judged and self.epoch + 1 - self.best.epoch >= patience

    def _save(self) -> None:
        history = self.folder.path / "history.jsonl"
        progress = {
            "step": self.step, "epoch": self.epoch, "losses": self.losses, "best": asdict(self.best),
            "figures": self.stepper.figures,
            "history_bytes": history.stat().st_size if history.is_file() else 0,
        }  # fmt: skip
        self.states.save(self.model, self.optimizer.optimizer, progress)


def _detected(config: TrainConfig, policy: str) -> DetectedCrops | None:
    """The detected crops to rank; InputError when they are enlarged in another way than the training's crops."""
    if config.candidates is None:
        return None
    detected = read_detected(config.candidates, enlarged=config.candidate_crops)
    require_policy(policy, detected.policy, "candidates", config.scorer.any_policy)
    return detected


def _fixed(config: TrainConfig) -> dict[str, Any]:
    """The settings that weights and log depend on."""
    values = asdict(replace(config, tracking=None))  # type: ignore[arg-type]
    return {name: plain(value) for name, value in values.items() if name not in FREE}


def _start(config: TrainConfig, captions: list[str]) -> tuple[Any, Any, str]:
    """(model ready to be prepared, processor, template) from a checkpoint or from scratch."""
    given = config.scorer.template
    if config.scorer.weights:
        model, processor, settings = load_parts(find_scorer(config.scorer.weights))
        template = choose_template(given, settings.get("template"), config.scorer.weights)
    elif config.scorer.architecture:
        template = choose_template(given, None, "")
        model, processor = make_model(config.scorer.architecture, captions, template)
    else:
        raise InputError("scorer: neither weights nor an architecture is given")
    if split_recipe(config.recipe)[0] is not None:
        processor.image_processor.sampling = WARP
    bind_pair_forward(model)
    model.float().train()
    freeze(model, config.freeze.image, config.freeze.text, config.freeze.layers)
    if config.lora.rank:
        add_lora(model, config.lora.rank, config.lora.alpha, config.lora.dropout)
    if config.loss.words:
        add_word_head(model, len(word_table(captions)[0]))
    if config.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model, processor, template
