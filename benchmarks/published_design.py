"""The published training and choosing against ours: same scenes, noise, small architectures and compute.

    python benchmarks/published_design.py ANNOTATIONS WORK_FOLDER [RESULT.json]     # about 130 CPU minutes

ANNOTATIONS is a caption file with boxes such as the published one; scenes are drawn into its boxes. The first train,
the next choose our settings, the last judge. Both sides start from the same random weights. A killed run goes on.

    published      detector on whole images, first small, then large; scorer's loss over micro-batches of 12, where a
                   repeated caption is a negative, recipe augv2; its cuts, plain argmax
    caption-aware  and repeated captions are positives
    global         and the loss over the whole batch
    recipe         and the scorer's light recipe, since small networks learn little from augv2's noise on every crop,
                   with the epochs that it takes to spend the published one's processor time
    settings       and cuts chosen on the tuning scenes, at two grades of noise together, and there the better of two
                   detectors of equal processor time: the published one, and one trained on random crops
    choosing       and the choosing chosen there too: joint assignment or not, the detector's confidence and its weight
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from core.choosing import ChoosingConfig, ChoosingMethod, Combining
from core.cuts import CutConfig
from core.files import write_json
from core.store import CandidateStore
from core.values import AnnotatedImage
from data.captions import read_annotations, write_annotations
from eval.statistics import Resamples, paired_difference
from eval.sweep import best_row, points_of
from eval.sweep.points import Sweeper, SystemPoint
from eval.sweep.replay import Replay
from eval.sweep.settings import SweepConfig

NUM_TRAIN, NUM_TUNE, NUM_VAL = 500, 60, 120
GRADES, TUNE_GRADES = ("clean", "gauss1000", "gauss3000", "jpeg15"), ("clean", "gauss2000")
SEEDS = (0, 1)
BATCH, MICRO = 48, 12
AUGV2, LIGHT = ("recipe=augv2", "epochs=20"), ("recipe=demo", "epochs=26")
SCORERS = {  # each one's recipe and loss
    "published": (*AUGV2, f"batch.micro={MICRO}", "loss.negatives=micro", "loss.same_caption=negative"),
    "caption-aware": (*AUGV2, f"batch.micro={MICRO}", "loss.negatives=micro", "loss.same_caption=positive"),
    "global": (*AUGV2, "loss.negatives=batch", "loss.same_caption=positive"),
    "recipe": (*LIGHT, "loss.negatives=batch", "loss.same_caption=positive"),
}
DETECTOR = ("detector=demo", "recipe=v3")
FINE = "args:{lr0:0.001,warmup_epochs:0.2,mosaic:0}"  # of the last stage, as published
STAGES = {  # an epoch's megapixels through the network: 123 at 640x384, 471 at 1280x736, 31 at 320x192
    "published": f"stages=[{{imgsz:640,epochs:16}},{{imgsz:1280,epochs:3,{FINE}}}]",
    "ours": f"stages=[{{imgsz:320,epochs:50,crop:[320,192],crop_share:1.0}},"
            f"{{imgsz:640,epochs:5,crop:[640,384],crop_share:1.0,{FINE}}}]",
}  # fmt: skip
RATES = ("1e-3", "2e-3")  # each scorer takes the one that ranks the tuning scenes' own crops better
LISTS = {"confidence": [0.05, 0.1, 0.25, 0.5], "nms_iou": [0.1, 0.3, 0.5, 0.7], "max_det": [10, 20]}
CHOICES: dict[str, list[Any]] = {"method": list(ChoosingMethod), "confidence_weight": [0.0, 0.1, 0.3, 0.5],
                                 "combine": [Combining.sum, Combining.product]}  # fmt: skip
PUBLISHED_CUTS = CutConfig(confidence=0.1, nms_iou=0.1, max_det=10)
TUNE_PARTS, VAL_PARTS = [f"tune_{grade}" for grade in TUNE_GRADES], [f"val_{grade}" for grade in GRADES]
STEPS = (*SCORERS, "settings", "choosing")
THREAD = {"OMP_NUM_THREADS": "1"}  # of each process, two at a time: threads that wait by spinning cost eight times more


@dataclass
class Bench:
    """One comparison in a work folder; every step is a public command that is reused when it is complete."""

    work: Path
    annotations: Path
    ranked: dict[str, dict[str, float]] = field(default_factory=dict)  # of the tuning crops, by scorer and rate

    def command(self, name: str, folder: str, *settings: str) -> Path:
        """Run a command in a process of its own unless its run folder is complete with the same words."""
        path = self.work / folder
        words = [*settings, f"run_dir={path}", *(["tracking.mode=disabled"] if ".train" in name else [])]
        record = path / "run.json"
        told = json.loads(record.read_text()) if record.is_file() else {}
        if told.get("state") != "done" or told["command_line"][3:] != words:
            print(f"{name} {' '.join(words)}", flush=True)
            with open(self.work / f"{folder.replace('/', '-')}.log", "ab") as log:
                argv = [sys.executable, "-m", name, *words]
                process = subprocess.Popen(argv, stdout=log, stderr=log, env=os.environ | THREAD)
                _, status, used = os.wait4(process.pid, 0)
            if status:
                raise SystemExit(f"{log.name}: {name} failed")
            write_json(path / "cost.json", {"cpu_s": used.ru_utime + used.ru_stime})
        return path

    def draw(self) -> None:
        """Draw the scenes of all three parts, spoil the judging ones, cut crops, lay out for YOLO."""
        whole = read_annotations(self.annotations)
        parts = {"train": whole[:NUM_TRAIN], "tune": whole[NUM_TRAIN : NUM_TRAIN + NUM_TUNE], "val": whole[-NUM_VAL:]}
        for name, part in parts.items():
            write_annotations(self.work / f"{name}.jsonl", part)
        write_annotations(self.work / "all.jsonl", [image for part in parts.values() for image in part])
        images = self.command("data.scenes", "scenes", f"annotations={self.work}/all.jsonl", "seed=0") / "images"
        train = f"annotations={self.work}/train.jsonl"
        self.command("data.crops", "crops", train, f"images={images}")
        self.command("data.yolo", "yolo", train, f"val={self.work}/tune.jsonl", f"images={images}")
        for part in (*TUNE_PARTS, *VAL_PARTS):
            name, grade = part.split("_")
            annotations = f"annotations={self.work}/{name}.jsonl"
            self.command("data.noise", f"noise/{part}", annotations, f"images={images}", f"grade={grade}")
            if part in TUNE_PARTS:
                self.command("data.crops", f"crops_{part}", annotations, f"images={self.work}/noise/{part}/images")

    def train(self) -> None:
        """A detector for each design, and a scorer for each recipe, loss, seed and rate."""
        jobs = [("detector.train", f"detector/{name}", f"data={self.work}/yolo", *DETECTOR, stages)
                for name, stages in STAGES.items()]  # fmt: skip
        jobs += [("siglip.train", self.run_of(name, seed, rate), f"crops={self.work}/crops", "scorer=demo", recipe,
                  f"batch.size={BATCH}", epochs, f"lr={rate}", *loss, f"seed={seed}")
                 for seed in SEEDS for rate in RATES for name, (recipe, epochs, *loss) in SCORERS.items()]  # fmt: skip
        two_at_a_time(self.command, jobs)

    def rank(self) -> None:
        """Choose each scorer's learning rate: mean ranking accuracy over the seeds and the tuning copies' own crops."""
        runs = [(name, seed, rate, part) for name in SCORERS for rate in RATES for seed in SEEDS for part in TUNE_PARTS]
        jobs = [
            ("siglip.evaluate", f"ranked/{part}_{name}_{seed}_{rate}", f"crops={self.work}/crops_{part}",
             f"scorer={self.work}/{self.run_of(name, seed, rate)}/last") for name, seed, rate, part in runs
        ]  # fmt: skip
        self.ranked = {name: dict.fromkeys(RATES, 0.0) for name in SCORERS}
        for (name, _, rate, _), path in zip(runs, two_at_a_time(self.command, jobs), strict=True):
            accuracy = json.loads((path / "metrics.json").read_text())["ranking_accuracy"]
            self.ranked[name][rate] += accuracy / (len(SEEDS) * len(TUNE_PARTS))

    def export(self) -> None:
        """What the models say of every graded copy, with every crop that the settings can ask for."""
        two_at_a_time(self._export_part, [(part,) for part in (*TUNE_PARTS, *VAL_PARTS)])

    def _export_part(self, part: str) -> None:
        lists = [f"sweep.{name}={values}".replace(" ", "") for name, values in LISTS.items()]
        steps = [("published", name) for name in SCORERS] if part in VAL_PARTS else [("published", "recipe")]
        for seed in SEEDS:
            for detector, name in [*steps, ("ours", "recipe")]:
                self.command("pipeline.export", f"export/{part}_{detector}_{name}_{seed}",
                             f"annotations={self.work}/{part.split('_')[0]}.jsonl",
                             f"images={self.work}/noise/{part}/images", f"candidates={self.work}/store/{part}",
                             f"detector={self.work}/{self.weights(detector)}", "detector.imgsz=[896,1536]",
                             f"scorer={self.work}/{self.folder(name, seed)}", "tracking.mode=disabled",
                             *lists)  # fmt: skip

    @staticmethod
    def weights(detector: str) -> str:
        """A detector's checkpoint, from the work folder."""
        return f"detector/{detector}/weights/best.pt"

    @staticmethod
    def run_of(name: str, seed: int, rate: str) -> str:
        """A scorer's run folder, from the work folder."""
        return f"scorer/{name}_{seed}_{rate}"

    def folder(self, name: str, seed: int) -> str:
        """The checkpoint of a scorer at its chosen rate, from the work folder."""
        return f"{self.run_of(name, seed, max(RATES, key=self.ranked[name].__getitem__))}/last"

    def detector_key(self, part: str, name: str) -> str:
        """A detector's key in a part's store."""
        return self.key(part, "proposals", self.weights(name))

    def scorer_key(self, part: str, name: str, seed: int) -> str:
        """A scorer's key in a part's store."""
        return self.key(part, "embeddings", self.folder(name, seed))

    def key(self, part: str, kind: str, weights: str) -> str:
        """The key in a part's store of a detector (`proposals`) or scorer (`embeddings`)."""
        store = CandidateStore(self.work / "store" / part)
        found = [key for key, about in store.known(kind).items() if f"{self.work}/{weights}" in json.dumps(about)]
        # a model that was trained anew in its folder leaves its predecessor's entries beside its own
        return max(found, key=lambda key: (store.folder / kind / key / "about.json").stat().st_mtime)

    def tuned(self, seed: int, **choices: list[Any]) -> dict[str, Any]:
        """The best settings over all tuning copies together, of either detector with our scorer of a seed."""
        tables = []
        for part in TUNE_PARTS:
            store = CandidateStore(self.work / "store" / part)
            config = SweepConfig(candidates=str(store.folder), truth=str(self.work / "tune.jsonl"),
                                 detectors=[self.detector_key(part, name) for name in STAGES],
                                 scorers=[self.scorer_key(part, "recipe", seed)],
                                 **LISTS, **choices)  # fmt: skip
            sweeper = self.sweeper(part)
            points = points_of(config, store)
            sweeper.prepare(points)
            tables.append([sweeper.row(point) for point in points])
        means = [{name: fmean(row[name] for row in rows) for name in ("accuracy", "f1")}
                 for rows in zip(*tables, strict=True)]  # fmt: skip
        best = best_row([row | mean for row, mean in zip(tables[0], means, strict=True)])
        names = {self.detector_key(TUNE_PARTS[0], name): name for name in STAGES}
        return best | {"detector": names[best["detector"]]}

    def sweeper(self, part: str) -> Sweeper:
        """A replay of one graded copy."""
        truth: list[AnnotatedImage] = read_annotations(self.work / f"{part.split('_')[0]}.jsonl")
        return Sweeper(Replay(CandidateStore(self.work / "store" / part), truth))


def two_at_a_time(call: Callable[..., Any], jobs: Sequence[tuple[str, ...]]) -> list[Any]:
    """What each job's call returns, in order."""
    with ThreadPoolExecutor(2) as pool:
        return [done.result() for done in [pool.submit(call, *job) for job in jobs]]


def points_at(bench: Bench, part: str, seed: int, cuts: dict[str, Any], full: dict[str, Any]) -> dict[str, SystemPoint]:
    """Every step's point on one graded copy; `cuts` and `full` are tuned rows without and with the choosing."""
    published = bench.detector_key(part, "published")
    plain = SystemPoint(cuts["views"], PUBLISHED_CUTS, published, None, ChoosingConfig())
    points = {name: replace(plain, scorer=bench.scorer_key(part, name, seed)) for name in SCORERS}
    for step, row in (("settings", cuts), ("choosing", full)):
        cut = CutConfig(row["confidence"], row["nms_iou"], row["max_det"])
        choosing = ChoosingConfig(ChoosingMethod(row["method"]), row["confidence_weight"], Combining(row["combine"]))
        points[step] = replace(points["recipe"], detector=bench.detector_key(part, row["detector"]), cut=cut,
                               choosing=choosing)  # fmt: skip
    return points


def judge(bench: Bench) -> tuple[dict[str, np.ndarray], list[str], dict[str, Any]]:
    """Hits of every step over seeds, grades and captions; the image of each; and figures about the rest."""
    hits: dict[str, list[np.ndarray]] = {step: [] for step in STEPS}
    images: list[str] = []
    about: dict[str, Any] = {"settings": {}, "grades": {}, "ceilings": {}}
    sweepers = {grade: bench.sweeper(f"val_{grade}") for grade in GRADES}
    for seed in SEEDS:
        cuts = bench.tuned(seed)
        full = bench.tuned(seed, **CHOICES)
        names = ("detector", *LISTS)
        about["settings"][f"seed {seed}"] = {name: full[name] for name in (*names, *CHOICES)} | {
            f"{name} without choosing": cuts[name] for name in names}  # fmt: skip
        for grade, sweeper in sweepers.items():
            points = points_at(bench, f"val_{grade}", seed, cuts, full)
            figures = about["grades"].setdefault(grade, {step: [] for step in STEPS})
            for step, point in points.items():
                answers = sweeper.answers(point)
                hits[step].append(answers.hit)
                figures[step].append(float(answers.hit.mean()))
                about["ceilings"].setdefault(grade, {})[step] = float(answers.reachable.mean())
            images += [entry.image for entry in sweeper.replay.truth for _ in entry.annotations]
    return {step: np.concatenate(parts) for step, parts in hits.items()}, images, about


def error_ratio(a: np.ndarray, b: np.ndarray, images: list[str]) -> list[float]:
    """Errors of b over errors of a, with a 95 % interval that resamples images."""
    wrong_a, wrong_b = (~hit[:, None].astype(bool) for hit in (a, b))
    low, high = Resamples(images).intervals(wrong_b.astype(float), wrong_a.astype(float))[0]
    return [float(wrong_b.sum() / wrong_a.sum()), low, high]


def result_of(hits: dict[str, np.ndarray], images: list[str], about: dict[str, Any]) -> dict[str, Any]:
    """Accuracy of each step, what it gave over the step before and over the published design."""
    rows = []
    for number, step in enumerate(STEPS):
        row: dict[str, Any] = {"step": step, "accuracy": float(hits[step].mean()), "errors": int((~hits[step]).sum())}
        for name, other in (("over_previous", STEPS[max(0, number - 1)]), ("over_published", STEPS[0])):
            change = paired_difference(hits[other], hits[step], images)
            row[name] = {"difference": change.difference, "ci95": list(change.ci95), "mcnemar_p": change.p_value}
        row["error_ratio"] = error_ratio(hits[STEPS[0]], hits[step], images)
        rows.append(row)
    return {
        "command": "python benchmarks/published_design.py ANNOTATIONS WORK RESULT.json",
        "date": time.strftime("%Y-%m-%d"), "steps_now": list(STEPS), "not_run": [],
        "answers": len(images), "images": len(set(images)), "grades": list(GRADES), "seeds": list(SEEDS),
        "training": {"images": NUM_TRAIN, "batch": BATCH, "scorers": SCORERS, "rates": list(RATES),
                     "detector": list(DETECTOR), "stages": STAGES},
        "tuning": {"images": NUM_TUNE, "grades": list(TUNE_GRADES)}, "goal": {"error_ratio": 0.7},
        "steps": rows, **about,
    }  # fmt: skip


def main() -> None:
    """Make what is missing, judge, write the result and print its table."""
    from eval.tables import print_table

    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    bench = Bench(Path(sys.argv[2]).resolve(), Path(sys.argv[1]).resolve())
    bench.work.mkdir(parents=True, exist_ok=True)
    for step in (bench.draw, bench.train, bench.rank, bench.export):
        step()
    paths = [path for folder in ("detector", "scorer") for path in sorted(bench.work.glob(f"{folder}/*/cost.json"))]
    costs = {str(path.parent.relative_to(bench.work)): round(json.loads(path.read_text())["cpu_s"]) for path in paths}
    result = result_of(*judge(bench)) | {"cpu_s": costs, "ranked": bench.ranked}
    write_json(Path(sys.argv[3]) if len(sys.argv) > 3 else bench.work / "result.json", result)
    flat = [{"step": r["step"], "accuracy": r["accuracy"], "gave": r["over_previous"]["difference"],
             "low": r["over_previous"]["ci95"][0], "high": r["over_previous"]["ci95"][1],
             "error_ratio": r["error_ratio"][0], "ratio_low": r["error_ratio"][1],
             "ratio_high": r["error_ratio"][2]} for r in result["steps"]]  # fmt: skip
    print_table(flat, list(flat[0]))


if __name__ == "__main__":
    main()
