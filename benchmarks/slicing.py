"""Slice in training, in inference, or both? Two tiny detectors of equal training time, each asked in two ways.

    python -m benchmarks.slicing [run_dir=runs/slicing] [scenes=200] [judged=40] [epochs=14] [seed=0] [json=FILE]

Scenes of 1280x736 pixels with targets of about 32x22. One detector is trained on whole images scaled down to 480
pixels, the other on random 480x288 crops in their own size: the network sees as many pixels a step, so that both cost
nearly the same. Each is asked about whole images at 480 pixels, and about twelve 480x288 slices beside them. Each step
is a public command; a finished one is not run again, so a killed benchmark goes on. Prints AP50 with its interval by
scene, the paired differences, recall and precision, processor seconds. Cost: about 8 processor minutes. Exit status 1
when the detectors' training times differ by more than a quarter.
"""

import os
import resource
import runpy
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recording import record, take_json
from core.files import read_json, write_json
from core.records import read_detections
from core.runs import is_done
from data.captions import read_annotations
from detector.inference.slicing import slice_windows
from detector.settings import SliceConfig, SliceMode
from eval.boxes.drawn import DrawnAP50
from eval.boxes.table import ImageIds, detection_table, truth_table
from eval.coco import CocoConfig, judge_boxes
from eval.statistics import Resamples

ROOT = Path(__file__).resolve().parents[1]
DEMO = runpy.run_path(str(ROOT / "scripts" / "chain_steps.py"), run_name="chain_steps")["DEMO"]
SIZE, SEEN, TARGET, ALLOWED = [1280, 736], [480, 288], [32, 22], 0.25
SLICES = [f"detector.slices.size=[{SEEN[0]},{SEEN[1]}]", "detector.slices.mode=size"]
TRAININGS = {"whole": "", "crops": f",crop:[{SEEN[0]},{SEEN[1]}],crop_share:1.0"}
WAYS = {
    "whole_480": ["detector.imgsz=480"],
    "slices": ["detector.imgsz=480", *SLICES],
}
MOST = 1000  # resamples of an AP50


def main() -> None:
    """Run what is not finished yet, then judge."""
    file = take_json()
    settings = {"run_dir": "runs/slicing", "scenes": "200", "judged": "40", "epochs": "14", "seed": "0"}
    words = dict(word.partition("=")[::2] for word in sys.argv[1:])
    if set(words) - set(settings):
        print(__doc__)
        raise SystemExit(0 if {"-h", "--help"} & set(words) else 2)
    bench = Bench(settings | words)
    bench.run()
    figures = bench.judge()
    show(figures)
    record(file, "drawn", figures)
    raise SystemExit(0 if abs(figures["training_ratio"] - 1) <= ALLOWED else 1)


class Bench:
    """The steps, each in its run folder under `root`; what each took stands in `cpu_s.json`."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.settings, self.root = settings, Path(settings["run_dir"])
        self.root.mkdir(parents=True, exist_ok=True)
        self._spent = self.root / "cpu_s.json"
        self.cpu_s: dict[str, float] = read_json(self._spent) if self._spent.is_file() else {}

    def step(self, folder: str, command: str, *settings: str) -> Path:
        """Run one public command unless it is done with the same settings; its failure ends the benchmark."""
        path = self.root / folder
        words = [*settings, f"run_dir={path}"]
        if is_done(path, words):
            return path
        print(f"$ {command} {' '.join(words)}", flush=True)
        before = _children_s()
        start = [sys.executable, "-m", command, *words]
        alone = os.environ | {"OMP_NUM_THREADS": "1"}
        if subprocess.run(start, check=False, stdout=subprocess.DEVNULL, env=alone).returncode != 0:
            raise SystemExit(f"slicing: {command} failed; the same command goes on here")
        self.cpu_s[folder] = self.cpu_s.get(folder, 0.0) + _children_s() - before
        write_json(self._spent, self.cpu_s)
        print(f"    {self.cpu_s[folder]:.0f} processor seconds", flush=True)
        return path

    def run(self) -> None:
        """Scenes, two trainings, four sets of boxes."""
        seed = int(self.settings["seed"])
        train, judged = (
            self.scenes(name, number, s)
            for name, number, s in (("train", "scenes", seed), ("judged", "judged", seed + 7313))
        )
        tree = self.step("yolo", "data.yolo", f"annotations={train}/annotations.jsonl", f"images={train}/images",
                         f"val={judged}/annotations.jsonl", f"val_images={judged}/images")  # fmt: skip
        epochs = self.settings["epochs"]
        for training, crop in TRAININGS.items():
            stage = f"{{imgsz:480,epochs:{epochs}{crop},args:{{warmup_epochs:2,close_mosaic:2}}}}"
            self.step(f"detector_{training}", "detector.train", f"data={tree}", "detector=demo", "recipe=v3",
                      f"stages=[{stage}]", "detector.train.args.batch=4", "detector.train.args.nbs=4",
                      "tracking.mode=disabled", f"seed={seed}")  # fmt: skip
        for training, way in product(TRAININGS, WAYS):
            weights = self.root / f"detector_{training}" / "weights" / "best.pt"
            self.step(f"boxes_{training}_{way}", "detector.predict", f"images={judged}/images",
                      f"annotations={judged}/annotations.jsonl", f"detector={weights}", *WAYS[way])  # fmt: skip

    def scenes(self, name: str, number: str, seed: int) -> Path:
        """Drawn scenes of the demo's vocabulary, larger, with smaller targets."""
        drawn = [w for w in DEMO.scenes if not w.startswith(("num_images=", "seed=", "size=", "target_size="))]
        return self.step(name, "data.scenes", f"num_images={self.settings[number]}", f"seed={seed}",
                         f"size=[{SIZE[0]},{SIZE[1]}]", f"target_size=[{TARGET[0]},{TARGET[1]}]", "workers=1",
                         *drawn)  # fmt: skip

    def judge(self) -> dict[str, Any]:
        """Every cell's figures, and the differences from training and asking with whole images at 480."""
        annotated = read_annotations(str(self.root / "judged" / "annotations.jsonl"))
        truth = truth_table(annotated)
        draws = Resamples([entry.image for entry in annotated])
        cells: dict[str, dict[str, Any]] = {}
        first: DrawnAP50 | None = None
        for training, way in product(TRAININGS, WAYS):
            told = self.root / f"boxes_{training}_{way}" / "detections.json"
            found = detection_table(read_detections(told), annotated, str(told), ImageIds.auto)
            metrics, drawn = judge_boxes(found, truth, CocoConfig()), DrawnAP50(found, truth)
            first = first or drawn
            cell = cells[f"{training}_{way}"] = {name: metrics[name] for name in ("AP50", "recall", "precision")}
            cell |= {
                "ci95": draws.interval_of(drawn, MOST),
                "over_first": metrics["AP50"] - cells["whole_whole_480"]["AP50"],
                "over_first_ci95": draws.interval_of(lambda d, a=first, b=drawn: b(d) - a(d), MOST),
                "cost": cost(way), "ms": read_json(told.with_name("metrics.json"))["detector_ms"],
            }  # fmt: skip
        training_s = {name: self.cpu_s[f"detector_{name}"] for name in TRAININGS}
        return {
            "scenes": int(self.settings["scenes"]), "judged": len(annotated), "targets": len(truth),
            "epochs": int(self.settings["epochs"]), "median_wh": np.median(truth.box_ltwh[:, 2:], axis=0).tolist(),
            "training_cpu_s": training_s, "training_ratio": training_s["crops"] / training_s["whole"],
            "cpu_s": sum(self.cpu_s.values()), "cells": cells,
        }  # fmt: skip


def show(figures: dict[str, Any]) -> None:
    """Tables on the terminal."""
    trained = figures["training_cpu_s"]
    print(f"{figures['judged']} scenes, {figures['targets']} targets; trained on {figures['scenes']} scenes in "
          + ", ".join(f"{s:.0f} s ({name})" for name, s in trained.items()))  # fmt: skip
    print(f"{'trained_asked':<26} AP50 (95 % by scene)        over the first              recall  ms an image")
    for name, cell in figures["cells"].items():
        low, high = cell["over_first_ci95"]
        told = f"{cell['AP50']:.3f} ({cell['ci95'][0]:.3f} to {cell['ci95'][1]:.3f})"
        change = f"{cell['over_first']:+.3f} ({low:+.3f} to {high:+.3f})"
        print(f"{name:<26} {told}   {change}   {cell['recall']:.3f}   {cell['ms']:.0f}")


def cost(way: str) -> int:
    """How many times the pixels of a whole image at 480 go through the network."""
    slices = len(slice_windows(SliceConfig(SliceMode.size, SEEN), *SIZE))
    return {"whole_480": 1, "slices": slices + 1}[way]


def _children_s() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


if __name__ == "__main__":
    main()
