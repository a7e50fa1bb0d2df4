"""The demo's YOLO, a tiny YOLOv6 and a tiny D-FINE at equal processor time: AP50 and grounding accuracy.

    python benchmarks/detectors.py chain=runs/demo [run_dir=runs/detectors] [share=0.5] [json=FILE]

`chain` is a finished `make demo`, whose labels, scorer and choosing are used. The demo's detector is trained anew with
this share of its epochs, to know what processor time they take. The others are trained in the same two stages, with its
batch, augmentation and optimizer, with as many epochs of whole images, and for as many epochs of crops as spend that
time; how long an epoch of theirs takes, a short training tells, watched from outside. Its learning rate was found for
it long before; theirs were not searched: YOLOv6 takes the same, D-FINE a third of it, since transformers are trained at
lower rates.

All are asked about the held-out scenes and their noisy copies. Each step is a public command; a finished one is not run
again, so a killed benchmark goes on with the next. Prints paired differences from the demo's YOLO with intervals by
scene, and writes `results.json`. Two processes at a time. Cost: about 17 minutes of one core with half of the epochs.
"""

import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from benchmarks.recording import record, take_json
from core.files import read_json, write_json
from core.records import read_detections
from core.runs import is_done
from data.captions import read_annotations
from eval.boxes.drawn import DrawnAP50
from eval.boxes.table import detection_table, truth_table
from eval.compare import compare, read_run
from eval.statistics import Resamples

ROOT = Path(__file__).resolve().parents[1]
DEMO = runpy.run_path(str(ROOT / "scripts" / "chain_steps.py"), run_name="chain_steps")["DEMO"]
PRESET = OmegaConf.to_container(OmegaConf.load(ROOT / "configs" / "detector" / "demo.yaml"))
MODELS = {"yolo": None, "yolov6": "yolov6_tiny.yaml", "d_fine": "d_fine_tiny.yaml"}
RATES = {"yolo": 0.003, "yolov6": 0.003, "d_fine": 0.001}
LAST_SHARE = 1 / 3  # of the rate: what the demo's second stage begins with
PROBE = 3  # epochs of crops in a short training
PIXELS = 4  # an epoch of whole images, 640x384, for one of crops, 320x192
MARGIN = 0.01
THREAD = {"OMP_NUM_THREADS": "1"}


class Bench:
    """The steps, each in its run folder under `root`."""

    def __init__(self, root: Path, chain: Path, share: float) -> None:
        self.root, self.chain = root, chain
        crops, whole = (max(1, round(share * stage["epochs"])) for stage in PRESET["train"]["stages"])
        self.trainings: dict[str, dict[str, Any]] = {"yolo": {"epochs": (crops, whole)}}
        self.sets = {
            "held out": (chain / "split" / "val.jsonl", chain / "scenes" / "images"),
            "noisy": (chain / "noisy" / "annotations.jsonl", chain / "noisy" / "images"),
        }

    def step(self, folder: str, command: str, *settings: str) -> Path:
        """Run one public command unless it is done with the same settings; its processor time goes to `cost.json`."""
        path = self.root / folder
        words = [*settings, f"run_dir={path}"]
        if not (is_done(path, words) and (path / "cost.json").is_file()):
            print(f"$ {command} {' '.join(words)}", flush=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(path, ignore_errors=True)  # what a killed process spent is not known: begun anew
            with open(f"{path}.log", "ab") as log:
                argv = [sys.executable, "-m", command, *words]
                process = subprocess.Popen(argv, stdout=log, stderr=log, env=os.environ | THREAD)
                status, used, epochs = _watch(process.pid, path / "stage_1" / "results.csv")
            if status:
                raise SystemExit(f"{path}.log: {command} failed; the same command goes on here")
            write_json(path / "cost.json", {"cpu_s": used.ru_utime + used.ru_stime, "after_epochs_cpu_s": epochs})
            print(f"    {used.ru_utime + used.ru_stime:.0f} s of processor time", flush=True)
        return path

    def train(self, name: str, folder: str, epochs: Sequence[int]) -> Path:
        """A training in the demo's two stages, or in as many of them as there are epochs for."""
        stages = [dict(stage) for stage in PRESET["train"]["stages"]]
        for stage, number, rate in zip(stages, epochs, (RATES[name], RATES[name] * LAST_SHARE), strict=False):
            stage |= {"epochs": number, "args": {**stage["args"], "lr0": round(rate, 6)}}
        told = json.dumps(stages[: len(epochs)]).replace('"', "").replace(" ", "")
        model = [f"detector.train.model={MODELS[name]}"] if MODELS[name] else []
        return self.step(folder, "detector.train", f"data={self.chain}/yolo", *DEMO.detector, *model,
                         f"stages={told}", "detector.train.args.workers=0", "tracking.mode=disabled")  # fmt: skip

    def probe(self, name: str) -> Path:
        """The short training of one of the others."""
        return self.train(name, f"probe/{name}", (PROBE,))

    def plan(self, name: str, budget_s: float) -> None:
        """Epochs of one of the others: its short training's processor time and what more epochs of that take."""
        told = read_json(self.probe(name) / "cost.json")
        after_s = told["after_epochs_cpu_s"]
        crop_s = (after_s[-2] - after_s[0]) / (PROBE - 2)  # the last is judged as well
        judge_s = max(0.0, after_s[-1] - after_s[-2] - crop_s)
        whole = self.trainings["yolo"]["epochs"][1]
        left_s = budget_s - told["cpu_s"] - judge_s - whole * PIXELS * crop_s
        crops = max(1, PROBE + round(left_s / crop_s))
        self.trainings[name] = {"epochs": (crops, whole), "epoch_s": crop_s}

    def run(self) -> None:
        """Trainings and answers, two at a time."""
        others = [name for name in MODELS if name != "yolo"]
        with ThreadPoolExecutor(2) as pool:
            probes = [pool.submit(self.fit, "yolo"), *(pool.submit(self.probe, name) for name in others)]
            budget_s = read_json(probes[0].result() / "cost.json")["cpu_s"]
            for name, probe in zip(others, probes[1:], strict=True):
                probe.result()
                self.plan(name, budget_s)
            list(pool.map(self.fit, others))
            list(pool.map(self.answer, *zip(*product(self.sets, MODELS), strict=True)))

    def fit(self, name: str) -> Path:
        """The training of one model with its epochs."""
        path = self.train(name, f"detector/{name}", self.trainings[name]["epochs"])
        self.trainings[name] |= {"rate": RATES[name], "cpu_s": read_json(path / "cost.json")["cpu_s"]}
        return path

    def answer(self, title: str, name: str) -> None:
        """All stages over one set with one of the detectors, judged."""
        truth, images = self.sets[title]
        export = self.step(self.folder("export", name, title), "pipeline.export", f"annotations={truth}",
                           f"images={images}", f"detector={self.root}/detector/{name}", f"upscaler={DEMO.upscaler}",
                           f"scorer={self.chain}/converted/scorer", *DEMO.export,
                           "tracking.mode=disabled")  # fmt: skip
        self.step(self.folder("judged", name, title), "eval.grounding", f"truth={truth}",
                  f"predictions={export}/predictions.jsonl", "tracking.mode=disabled")  # fmt: skip
        self.step(self.folder("coco", name, title), "eval.coco", f"truth={truth}",
                  f"detections={export}/detections.json", "tracking.mode=disabled")  # fmt: skip

    def folder(self, what: str, name: str, title: str) -> str:
        """Where a step's run folder is, from the root."""
        return f"{what}/{name}_{title.replace(' ', '_')}"


def _watch(pid: int, table: Path) -> tuple[int, Any, list[float]]:
    """Wait for a process; its status, what it used, and its processor seconds when each line of `table` appeared."""
    after_s: list[float] = []
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, used, after_s
        lines = table.read_text().count("\n") - 1 if table.is_file() else 0
        spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        after_s += [sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")] * (lines - len(after_s))
        time.sleep(0.2)


def ap50_of(truth: Path, export: Path) -> DrawnAP50:
    """AP50 of an export's detections, for any draw of its images."""
    annotated, file = read_annotations(truth), export / "detections.json"
    return DrawnAP50(detection_table(read_detections(file), annotated, str(file)), truth_table(annotated))


def report(bench: Bench) -> dict[str, Any]:
    """Each set's figures: AP50 and accuracy with intervals, and their differences from the demo's YOLO."""
    figures: dict[str, Any] = {}
    for title, (truth, _) in bench.sets.items():
        found = {name: ap50_of(truth, bench.root / bench.folder("export", name, title)) for name in MODELS}
        names = [entry.image for entry in read_annotations(truth)]
        resamples = Resamples(names)
        runs = [read_run(str(bench.root / bench.folder("judged", name, title))) for name in MODELS]
        table, differences = compare(runs, MARGIN)
        rows: dict[str, Any] = {}
        for name, row in zip(MODELS, table, strict=True):
            one, first = found[name], found["yolo"]
            ap50 = read_json(bench.root / bench.folder("coco", name, title) / "metrics.json")["AP50"]
            rows[name] = {"ap50": ap50, "ap50_ci95": resamples.interval_of(one), "accuracy": row["accuracy"],
                          "accuracy_ci95": [row["ci95_low"], row["ci95_high"]]}  # fmt: skip
            if name != "yolo":
                change = resamples.interval_of(lambda d, a=first, b=one: b(d) - a(d))
                rows[name] |= {"ap50_over_yolo": ap50 - rows["yolo"]["ap50"], "ap50_over_yolo_ci95": change}
        for name, row in zip(list(MODELS)[1:], differences, strict=True):
            rows[name] |= {"accuracy_over_yolo": row["difference"], "p_holm": row["p_holm"],
                           "accuracy_over_yolo_ci95": [row["ci95_low"], row["ci95_high"]]}  # fmt: skip
        key = title.replace(" ", "_")
        figures[key] = {"scenes": len(names), "captions": table[0]["num_captions"], **rows}
    return figures


def show(figures: dict[str, Any]) -> None:
    """The same as lines on the terminal."""
    for title, rows in figures.items():
        print(f"\n{title}: {rows['scenes']} scenes, {rows['captions']} captions; differences from the demo's YOLO")
        for name in MODELS:
            row = rows[name]
            line = f"  {name:<8}"
            for figure in ("ap50", "accuracy"):
                low, high = row[f"{figure}_ci95"]
                line += f"  {figure} {row[figure]:.3f} ({low:.3f} to {high:.3f})"
                if name != "yolo":
                    low, high = row[f"{figure}_over_yolo_ci95"]
                    line += f" {row[f'{figure}_over_yolo']:+.3f} ({low:+.3f} to {high:+.3f})"
            print(line)


def main() -> None:
    """Run what is not finished yet, then judge."""
    file = take_json()
    words = dict(word.partition("=")[::2] for word in sys.argv[1:])
    if "chain" not in words or set(words) - {"chain", "run_dir", "share"}:
        print(__doc__)
        raise SystemExit(0 if set(words) & {"-h", "--help"} else 2)
    bench = Bench(Path(words.get("run_dir", "runs/detectors")), Path(words["chain"]), float(words.get("share", "0.5")))
    bench.run()
    figures = report(bench)
    versions = {name: version(name) for name in ("torch", "ultralytics", "transformers")}
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    for name, told in bench.trainings.items():
        print(f"{name}: {told['epochs'][0]} + {told['epochs'][1]} epochs, rate {told['rate']}, "
              f"{told['cpu_s']:.0f} s of processor time")  # fmt: skip
    show(figures)
    whole = {"versions": versions, "trainings": bench.trainings, **figures}
    write_json(bench.root / "results.json", whole)
    record(file, "detectors", whole)


if __name__ == "__main__":
    main()
