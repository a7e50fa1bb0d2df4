"""Several and none: a 60-point sweep over a mixed truth, and every protocol over 100,000 captions; seconds and MiB.

    python benchmarks/several.py [num_images] [num_captions]        # default 1000 100000

The sweep is that of `benchmarks/sweep.py` with a third of the captions several targets and one in twenty none, over
cuts and both thresholds. The captions of the protocols have up to four targets and answers;
those of DIOR-RSVG and VRSBench one. Each protocol reads both files and scores them in a process of its own, whose peak
memory counts from its start.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.recording import record, take_json
from core.choosing import Select

PROTOCOLS = {True: ("ours", "refdrone", "refdrone_vlm", "grefcoco"), False: ("rsvg", "vrsbench")}  # several or one
BUDGETS = {"sweep_s": 10, "protocol_s": 30, "protocol_mib": 1024}


def mix(truth: Path) -> None:
    """Make several and none of a truth with one box a caption: each third entry takes its neighbour's box too."""
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    for number, line in enumerate(lines):
        entries = line["annotations"]
        for first in range(0, len(entries) - 1, 3):
            entries[first] = {"caption": entries[first]["caption"], "boxes": [e["bbox"] for e in entries[first:][:2]]}
        if number % 4 == 0:
            entries[-1] = {"caption": entries[-1]["caption"], "boxes": []}
    truth.write_text("".join(json.dumps(line) + "\n" for line in lines))


def time_sweep(folder: Path, num_images: int) -> dict[str, float]:
    """Sweep 60 points over cuts and both thresholds, and say how long it took."""
    from eval.sweep import best_row, sweep
    from eval.sweep.settings import SweepConfig

    sys.path.insert(0, str(Path(__file__).parent))  # beside this file, whatever way it was started
    from sweep import make_cache

    truth = make_cache(folder, num_images, 150, round(5.7 * num_images))
    mix(truth)
    config = SweepConfig(
        candidates=str(folder / "candidates"), truth=str(truth), confidence=[0.05, 0.1, 0.25, 0.5],
        nms_iou=[0.1, 0.3, 0.5, 0.7, 0.9], absent_below=[0.5], select=list(Select), above=[0.5, 0.9],
    )  # fmt: skip
    began, began_cpu = time.perf_counter(), time.process_time()
    rows, sweeper = sweep(config)
    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    best, kinds = best_row(rows, "exact_share"), np.bincount(np.minimum(sweeper.num_truths, 2), minlength=3)
    print(f"{len(rows)} settings, {num_images} images, captions with none, one, several targets: {kinds.tolist()}")
    print(f"{took:.1f} s ({cpu:.1f} s of one core), {took / BUDGETS['sweep_s']:.2f} of the budget of 10 s")
    print(f"best exact_share {best['exact_share']:.4f}, its none_accuracy {best['none_accuracy']:.4f}")
    return {"wall_s": took, "cpu_s": cpu}


def write_answers(folder: Path, num_captions: int, several: bool) -> None:
    """A truth and its answers: jittered boxes, some missing, some false; 20 captions an image."""
    draw = np.random.default_rng(0)
    with open(folder / "truth.jsonl", "w") as truth, open(folder / "answers.jsonl", "w") as answers:
        for image in range(num_captions // 20):
            said, told = [], []
            for caption in range(20):
                count = int(draw.choice([0, 1, 2, 4], p=[0.05, 0.35, 0.4, 0.2])) if several else 1
                boxes = np.concatenate([draw.integers(0, 400, (count, 2)), draw.integers(20, 90, (count, 2))], axis=1)
                found = boxes + draw.normal(0, 4, (count, 4))
                if several and draw.random() < 0.3:
                    found = np.concatenate([found, [[450, 450, 30, 30]]])
                named = {"caption": f"caption {caption}", "id": str(caption)}
                said.append({**named, "boxes": boxes.tolist()})
                scores = draw.random(len(found)).round(4).tolist()
                told.append({**named, "boxes": found.round(2).tolist(), "scores": scores})
            for stream, entries in ((truth, said), (answers, told)):
                stream.write(json.dumps({"image": f"{image}.jpg", "annotations": entries}) + "\n")


def time_protocol(folder: Path, protocol: str) -> dict[str, float]:
    """Score the folder's files by a protocol in a process of its own."""
    words = [f"truth={folder}/truth.jsonl", f"predictions={folder}/answers.jsonl", f"protocol={protocol}",
             "tracking.mode=disabled", f"run_dir={folder}/{protocol}"]  # fmt: skip
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "eval.grounding", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    took, mib = time.perf_counter() - began, usage.ru_maxrss / 1024
    if status:
        raise SystemExit(f"{protocol}: ended with {status}")
    cpu = usage.ru_utime + usage.ru_stime
    shares = took / BUDGETS["protocol_s"], mib / BUDGETS["protocol_mib"]
    print(f"{protocol}: {took:.1f} s ({cpu:.1f} s of one core), {mib:.0f} MiB; "
          f"{shares[0]:.2f} and {shares[1]:.2f} of the budgets of 30 s and 1 GiB")  # fmt: skip
    return {"wall_s": took, "cpu_s": cpu, "mib": mib}


def main() -> None:
    """Time the sweep, then each protocol."""
    file = take_json()
    num_images, num_captions = (int(v) for v in (sys.argv[1:] + ["1000", "100000"][len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {"sweep": time_sweep(folder / "sweep", num_images)}
        for several, protocols in PROTOCOLS.items():
            part = folder / str(several)
            part.mkdir()
            write_answers(part, num_captions, several)
            for protocol in protocols:
                found[protocol] = time_protocol(part, protocol)
    record(file, "several", found)


if __name__ == "__main__":
    main()
