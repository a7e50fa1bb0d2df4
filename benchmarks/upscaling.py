"""Does enlarging pay? Scorers trained and asked on crops enlarged by animevideov3, nearest, Lanczos, or not at all.

    python benchmarks/upscaling.py chain=runs/demo [run_dir=runs/upscaling] [epochs=24] [json=FILE]

scenes=300 and seed=77 draw those that are judged.

`chain` is a finished `make demo`, whose training crops and detector are used; the scorers are trained here, one a way,
with the demo's settings, and asked about scenes of another seed, clean and with `gauss2000` noise. animevideov3's
scorer is asked with bfloat16 and 8-bit crops too. Each step is a public command; a finished one is not run again, so a
killed benchmark goes on. Prints paired differences with intervals, writes `results.json` and `sides.png`.
Cost: four trainings of the demo's scorer (about 7 minutes each on two free cores) and ten exports of half a minute to
a minute. Exit status 1 when 8-bit crops lose more than half a point against float32's.
"""

import json
import runpy
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.recording import record, take_json
from core.files import write_json
from core.images import encode_image, read_image
from core.runs import is_done, owner
from eval.compare import compare, read_run

ROOT = Path(__file__).resolve().parents[1]
DEMO = runpy.run_path(str(ROOT / "scripts" / "chain_steps.py"), run_name="chain_steps")["DEMO"]
NAME, NOISE, GOAL_POINTS, MARGIN = "realesr_animevideov3_x4", "gauss2000", -0.005, 0.01
WAYS = ("none", "animevideov3", "nearest", "lanczos")
PRECISIONS = ("bfloat16", "int8")
SHOWN, SIDE = 6, 160  # crops in sides.png and the height of one


def main() -> None:
    """Run what is not finished yet, then compare."""
    settings = {"run_dir": "runs/upscaling", "scenes": "300", "epochs": "24", "seed": "77"}
    file, words = take_json(), sys.argv[1:]
    if any("=" not in word for word in words) or not any(word.startswith("chain=") for word in words):
        print(__doc__)
        raise SystemExit(0 if set(words) & {"-h", "--help"} else 2)
    settings |= dict(word.split("=", 1) for word in words)
    bench = Bench(Path(settings["run_dir"]), Path(settings["chain"]), settings)
    bench.run()
    met, figures = report(bench)
    record(file, "upscaling", figures)
    raise SystemExit(0 if met else 1)


class Bench:
    """The steps, each in its run folder under `root`."""

    def __init__(self, root: Path, chain: Path, settings: dict[str, str]) -> None:
        self.root, self.chain, self.settings = root, chain, settings
        self.weights = root / f"{NAME}.safetensors"
        self.upscalers = {way: str(self.weights) if way == "animevideov3" else way for way in WAYS}

    def step(self, folder: str, command: str, *settings: str, launcher: Sequence[str] = ()) -> Path:
        """Run one public command unless it is done with the same settings; its failure ends the benchmark."""
        path = self.root / folder
        words = [*settings, f"run_dir={path}"]
        if is_done(path, words):
            return path
        while owner(path) is not None:
            time.sleep(1)
        print(f"$ {command} {' '.join(words)}", flush=True)
        begun = time.monotonic()
        start = [sys.executable, "-m", *launcher, *(["-m"] if launcher else []), command, *words]
        if subprocess.run(start, check=False, stdout=subprocess.DEVNULL).returncode != 0:
            raise SystemExit(f"upscaling: {command} failed; the same command goes on here")
        print(f"    {time.monotonic() - begun:.0f} s", flush=True)
        return path

    def run(self) -> None:
        """Scenes, crops, trainings and answers."""
        drawn = [word for word in DEMO.scenes if not word.startswith(("num_images=", "seed="))]
        clean = self.step("clean", "data.scenes", f"num_images={self.settings['scenes']}",
                          f"seed={self.settings['seed']}", *drawn)  # fmt: skip
        given = [f"annotations={clean}/annotations.jsonl", f"images={clean}/images"]
        noisy = self.step(NOISE, "data.noise", *given, f"grade={NOISE}")
        self.step("fetch", "upscale.fetch", f"name={NAME}", f"out={self.weights}")
        for way, upscaler in self.upscalers.items():
            scorer = self.train(way, upscaler)
            for scenes in (clean, noisy):
                self.answer(f"{way}_{scenes.name}", scenes, scorer, f"upscaler={upscaler}")
            for precision in PRECISIONS if way == "animevideov3" else ():
                self.answer(f"{precision}_{clean.name}", clean, scorer, f"upscaler={upscaler}",
                            f"upscaler.precision={precision}")  # fmt: skip

    def train(self, way: str, upscaler: str) -> Path:
        """The demo's scorer on crops enlarged this way."""
        crops = self.step(f"crops_{way}", "upscale.crops", f"crops={self.chain}/crops", f"upscaler={upscaler}")
        told = [word for word in DEMO.scorer if not word.startswith("epochs=")]
        launcher = ["accelerate.commands.accelerate_cli", *DEMO.accelerate[1:]]
        scorer = self.step(f"scorer_{way}", "siglip.train", f"crops={crops}", *told,
                           f"epochs={self.settings['epochs']}", launcher=launcher)  # fmt: skip
        out = self.root / f"converted_{way}" / "scorer"
        self.step(f"converted_{way}", "siglip.convert", f"source={scorer}/last", f"out={out}")
        return out

    def answer(self, name: str, scenes: Path, scorer: Path, *upscaler: str) -> None:
        """All stages over the scenes, judged."""
        export = self.step(f"export_{name}", "pipeline.export", f"annotations={scenes}/annotations.jsonl",
                           f"images={scenes}/images", f"detector={self.chain}/detector/weights/best.pt",
                           f"scorer={scorer}", *upscaler, *DEMO.export)  # fmt: skip
        self.step(f"judged_{name}", "eval.grounding", f"truth={scenes}/annotations.jsonl",
                  f"predictions={export}/predictions.jsonl")  # fmt: skip


def report(bench: Bench) -> tuple[bool, dict[str, Any]]:
    """Print and write the comparisons; whether 8-bit crops are as good as they must be, and the pages' figures."""
    sides(bench)
    found: dict[str, Any] = {}
    for title, names in {
        "clean": [f"{way}_clean" for way in WAYS],
        NOISE: [f"{way}_{NOISE}" for way in WAYS],
        "precision": ["animevideov3_clean", *(f"{precision}_clean" for precision in PRECISIONS)],
    }.items():
        table, differences = compare([read_run(f"{bench.root}/judged_{name}") for name in names], MARGIN)
        found[title] = {"runs": table, "differences": differences}
    return show(bench, found), figures_of(bench, found)


def figures_of(bench: Bench, found: dict[str, Any]) -> dict[str, Any]:
    """Of each way a row: accuracy, difference from the first and its interval, in points, clean and then with noise."""
    rows = []
    for place in range(len(WAYS)):
        row: list[float] = []
        for tables in (found["clean"], found[NOISE]):
            row.append(100 * tables["runs"][place]["accuracy"])
            if place:
                change = tables["differences"][place - 1]
                row += [100 * change[name] for name in ("difference", "ci95_low", "ci95_high")]
        rows.append(row)
    (lost,) = (d for d in found["precision"]["differences"] if Path(d["b"]).name == "judged_int8_clean")
    return {
        "table": rows,
        "captions": found["clean"]["runs"][0]["num_captions"],
        "int8_points": 100 * lost["difference"],
        "scenes": int(bench.settings["scenes"]),
        "epochs": int(bench.settings["epochs"]),
    }


def show(bench: Bench, found: dict[str, Any]) -> bool:
    """Tables on the terminal, `results.json` in the run folder."""
    versions = {package: version(package) for package in ("torch", "spandrel", "opencv-python", "transformers")}
    print(", ".join(f"{package} {number}" for package, number in versions.items()))
    for title, tables in found.items():
        print(f"\n{title}, {tables['runs'][0]['num_captions']} captions; differences from the first")
        for row in tables["runs"]:
            print(
                f"  {Path(row['run']).name:<28} {row['accuracy']:.4f} ({row['ci95_low']:.4f} to {row['ci95_high']:.4f})"
            )
        for row in tables["differences"]:
            print(f"  {Path(row['b']).name:<28} {row['difference']:+.4f} ({row['ci95_low']:+.4f} to "
                  f"{row['ci95_high']:+.4f}), Holm p {row['p_holm']:.4f}")  # fmt: skip
    write_json(bench.root / "results.json", {"settings": bench.settings, "versions": versions, **found})
    lost = next(d for d in found["precision"]["differences"] if Path(d["b"]).name == "judged_int8_clean")
    met = lost["difference"] >= GOAL_POINTS
    print(f"\n8-bit crops: {100 * lost['difference']:+.2f} points (at least {100 * GOAL_POINTS:+.1f}): "
          f"{'met' if met else 'missed'}; results in {bench.root}")  # fmt: skip
    return met


def sides(bench: Bench) -> None:
    """`sides.png`: a few training crops a row, one column a way."""
    names = [line["file_name"] for line in _lines(bench.root / "crops_none" / "metadata.jsonl")]
    rows = []
    for name in names[:: max(1, len(names) // SHOWN)][:SHOWN]:
        crops = [read_image(bench.root / f"crops_{way}" / name) for way in WAYS]
        cells = [cv2.resize(crop, (SIDE * 3 // 2, SIDE), interpolation=cv2.INTER_NEAREST) for crop in crops]
        rows.append(np.hstack(cells))
    (bench.root / "sides.png").write_bytes(encode_image(np.vstack(rows), ".png"))


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    main()
