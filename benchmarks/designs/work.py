"""The work folder of one comparison: every step is a public command that is not run again once it is complete."""

import contextlib
import importlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.designs.plan import ASKED, ENLARGED, PUBLISHED_CUTS, RATED, UPSCALER, Asked, Plan
from core.cuts import CutConfig
from core.files import read_json, write_json
from core.runs import is_done
from core.values import AnnotatedImage
from data.captions import read_annotations, write_annotations

THREAD = {"OMP_NUM_THREADS": "1"}  # of each process: threads that wait by spinning cost eight times more


@dataclass
class Work:
    """One comparison in a folder; `jobs` trainings run side by side."""

    folder: Path
    annotations: Path
    plan: Plan
    jobs: int = 2
    ranked: dict[str, dict[str, float]] = field(default_factory=dict)  # of the tuning crops, by scorer and rate

    def command(self, name: str, folder: str, *settings: str, apart: bool = False) -> Path:
        """Run a command unless its run folder is complete with the same words; `apart`: in a process of its own."""
        path = self.folder / folder
        words = [*settings, f"run_dir={path}"]
        if is_done(path, words):
            return path
        if path.exists() and name.endswith(".train"):
            shutil.rmtree(path)  # one that goes on after a kill would tell the processor time of its rest alone
        print(f"{time.strftime('%H:%M:%S')} {name} {' '.join(words)}", flush=True)
        with open(self.folder / f"{folder.replace('/', '-')}.log", "a", encoding="utf-8") as log:
            cpu_s = run_apart(name, words, log) if apart else run_here(name, words, log)
        write_json(path / "cost.json", {"cpu_s": cpu_s})
        return path

    def draw(self) -> None:
        """Draw the scenes of all three parts, spoil the judging ones, cut crops, lay out for YOLO."""
        plan = self.plan
        whole = [scaled(image, plan.scale) for image in read_annotations(self.annotations)]
        tuned = plan.num_train + plan.num_tune
        parts = {"train": whole[: plan.num_train], "tune": whole[plan.num_train : tuned], "val": whole[-plan.num_val :]}
        if tuned + plan.num_val > len(whole):
            raise SystemExit(
                f"{self.annotations}: {len(whole)} images are fewer than the plan's {tuned + plan.num_val}"
            )
        for name, part in parts.items():
            write_annotations(self.folder / f"{name}.jsonl", part)
        write_annotations(self.folder / "all.jsonl", [image for part in parts.values() for image in part])
        size = f"size=[{plan.size[0]},{plan.size[1]}]"
        images = self.command("data.scenes", "scenes", f"annotations={self.folder}/all.jsonl", size, "seed=0",
                              f"workers={self.jobs}") / "images"  # fmt: skip
        train = f"annotations={self.folder}/train.jsonl"
        self.command("data.crops", "crops", train, f"images={images}")
        self.command("data.yolo", "yolo", train, f"val={self.folder}/tune.jsonl", f"images={images}")
        for part, grades in plan.parts.items():
            for grade in grades:
                of = f"annotations={self.folder}/{part}.jsonl"
                self.command("data.noise", f"noise/{part}_{grade}", of, f"images={images}", f"grade={grade}")
        for grade in plan.tune_grades:
            self.command("data.crops", f"crops_{grade}", f"annotations={self.folder}/tune.jsonl",
                         f"images={self.folder}/noise/tune_{grade}/images")  # fmt: skip

    def train_detectors(self, seed: int) -> None:
        """Both designs' detectors; each in a process of its own, as Ultralytics leaves its traces in one."""
        jobs = [
            (
                "detector.train",
                f"detector/{name}_{seed}",
                f"data={self.folder}/yolo",
                "detector=demo",
                "recipe=v3",
                stages,
                f"seed={seed}",
                "tracking.mode=disabled",
            )
            for name, stages in self.plan.stages.items()
        ]
        self._run(jobs, apart=True)

    def train_scorers(self, names: Iterable[str], seed: int) -> None:
        """Scorers of a seed, each at its rate; those whose rates are tuned at every rate with the first seed."""
        first = seed == self.plan.seeds[0]
        if first:
            self._run([self._scorer(name, seed, rate) for rate in self.plan.rates for name in RATED])
            self._rank(seed)
        self._run([self._scorer(name, seed, self.rate(name)) for name in names])

    def _scorer(self, name: str, seed: int, rate: str, crops: str = "crops") -> tuple[str, ...]:
        """The words of one training."""
        folder = self.run_of(name, seed, rate) + ("" if crops == "crops" else f"_{ENLARGED}")
        return ("siglip.train", folder, f"crops={self.folder}/{crops}", *self.plan.scorers[name], f"lr={rate}",
                f"seed={seed}", "tracking.mode=disabled")  # fmt: skip

    def _rank(self, seed: int) -> None:
        """Mean ranking accuracy over the tuning copies' own crops, by scorer and rate."""
        for name in RATED:
            for rate in self.plan.rates:
                found = [self.command("siglip.evaluate", f"ranked/{grade}_{name}_{seed}_{rate}",
                                      f"crops={self.folder}/crops_{grade}",
                                      f"scorer={self.folder}/{self.run_of(name, seed, rate)}/last")
                         for grade in self.plan.tune_grades]  # fmt: skip
                accuracies = [read_json(path / "metrics.json")["ranking_accuracy"] for path in found]
                self.ranked.setdefault(name, {})[rate] = sum(accuracies) / len(accuracies)

    def rate(self, name: str) -> str:
        """A scorer's learning rate: its own best, or for a step between, that of the loss it shares."""
        ranked = self.ranked["small" if name in {"vocabulary", "small"} else "published"]
        return max(ranked, key=ranked.__getitem__)

    @staticmethod
    def run_of(name: str, seed: int, rate: str) -> str:
        """A scorer's run folder, from the work folder."""
        return f"scorer/{name}_{seed}_{rate}"

    def export(self, names: Iterable[str], seed: int) -> None:
        """What the models say of every graded copy, with every crop that the settings can ask for."""
        for name in names:
            for part in self.plan.parts:
                if part == "val" or ASKED[name].swept:
                    self._export(name, ASKED[name], part, seed)

    def _export(self, name: str, asked: Asked, part: str, seed: int) -> None:
        cuts = self.plan.lists | ({"vote_iou": [None, self.plan.vote_iou]} if asked.voted else {})
        lists = [f"sweep.{key}={str(values).replace('None', 'null').replace(' ', '')}" for key, values in cuts.items()]
        scorer = f"scorer={self.folder}/{self.run_of(asked.scorer, seed, self.rate(asked.scorer))}/last"
        for grade in self.plan.parts[part]:
            self.command("pipeline.export", f"export/{part}_{grade}_{name}_{seed}",
                         *self.asks(part, grade, asked.detector, seed), scorer, *asked.words, "upscaler=none",
                         *(lists if asked.swept else ()))  # fmt: skip

    def asks(self, part: str, grade: str, detector: str, seed: int, cut: CutConfig = PUBLISHED_CUTS) -> list[str]:
        """The words of an export that say what is asked of which detector, at which cuts, with which store."""
        vote = "null" if cut.vote_iou is None else cut.vote_iou
        return [f"annotations={self.folder}/{part}.jsonl", f"images={self.folder}/noise/{part}_{grade}/images",
                f"candidates={self.folder}/store/{part}_{grade}",
                f"detector={self.folder}/detector/{detector}_{seed}/weights/best.pt", "tracking.mode=disabled",
                f"confidence={cut.confidence}", f"nms_iou={cut.nms_iou}", f"max_det={cut.max_det}",
                f"vote_iou={vote}"]  # fmt: skip

    def enlarge(self) -> None:
        """Fetch the trained upscaler, enlarge the crops, train the first and the last step's scorer on them."""
        weights = self.folder / "weights" / f"{UPSCALER}.safetensors"
        self.command("upscale.fetch", "fetched", f"name={UPSCALER}", f"out={weights}")
        self.command("upscale.crops", f"crops_{ENLARGED}", f"crops={self.folder}/crops", *self.upscaler)
        self._run([self._scorer(name, seed, self.rate(name), f"crops_{ENLARGED}")
                   for seed in self.plan.enlarged_seeds for name in RATED])  # fmt: skip

    @property
    def upscaler(self) -> list[str]:
        """The words that name the trained upscaler."""
        return [f"upscaler={UPSCALER}", f"upscaler.weights={self.folder}/weights/{UPSCALER}.safetensors"]

    def export_enlarged(self, asked: Asked, step: str, seed: int, cut: CutConfig) -> None:
        """What a whole step's system says with enlarged crops, at its own cuts alone."""
        scorer = f"scorer={self.folder}/{self.run_of(asked.scorer, seed, self.rate(asked.scorer))}_{ENLARGED}/last"
        for grade in self.plan.grades:
            self.command("pipeline.export", f"export/val_{grade}_{step}-{ENLARGED}_{seed}",
                         *self.asks("val", grade, asked.detector, seed, cut), scorer, *asked.words,
                         *self.upscaler)  # fmt: skip

    def key(self, part: str, grade: str, asked: str, seed: int, kind: str) -> str:
        """The key in a part's store of what an export asked: `detector` or `embeddings`."""
        return str(read_json(self.folder / f"export/{part}_{grade}_{asked}_{seed}/metrics.json")[f"{kind}_key"])

    def costs(self) -> dict[str, int]:
        """Processor seconds of every training and of the enlarging, by run folder."""
        paths = [*self.folder.glob("detector/*/cost.json"), *self.folder.glob("scorer/*/cost.json"),
                 *self.folder.glob(f"crops_{ENLARGED}/cost.json")]  # fmt: skip
        return {str(path.parent.relative_to(self.folder)): round(read_json(path)["cpu_s"]) for path in sorted(paths)}

    def _run(self, jobs: Sequence[tuple[str, ...]], apart: bool = False) -> None:
        """Run trainings, several at a time where there are jobs for it, which takes processes of their own."""
        if not apart and self.jobs == 1:
            for job in jobs:
                self.command(*job)
            return
        with ThreadPoolExecutor(self.jobs) as pool:
            for done in [pool.submit(self.command, *job, apart=True) for job in jobs]:
                done.result()


def scaled(image: AnnotatedImage, scale: float) -> AnnotatedImage:
    """The image's annotations with their boxes in whole pixels of an image `scale` times as large."""
    return replace(image, annotations=tuple(
        replace(a, boxes_ltwh=tuple(tuple(round(value * scale) for value in box) for box in a.boxes_ltwh))  # type: ignore[misc]
        for a in image.annotations))  # fmt: skip


def run_apart(name: str, words: Sequence[str], log: Any) -> float:
    """Run a command in a process of its own; its processor seconds. SystemExit where it fails."""
    argv = [sys.executable, "-m", name, *words]
    process = subprocess.Popen(argv, stdout=log, stderr=log, env=os.environ | THREAD)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"{log.name}: {name} failed")
    return used.ru_utime + used.ru_stime


def run_here(name: str, words: Sequence[str], log: Any) -> float:
    """Run a command in this process, which spares it the start; its processor seconds."""
    main: Callable[[list[str]], None] = importlib.import_module(name).main
    start = sum(os.times()[:4])
    try:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            main([*words])
    except SystemExit as end:
        if end.code:
            raise SystemExit(f"{log.name}: {name} failed") from end
    return sum(os.times()[:4]) - start
