"""The published training and choosing against ours: same scenes, noise, size of networks and processor time.

    python benchmarks/published_design.py ANNOTATIONS WORK_FOLDER [RESULT.json] [jobs=1]

ANNOTATIONS is a caption file with boxes such as the published one; scenes are drawn into its boxes, all at 0.6 of the
size. The first train, the next choose our settings, the last judge, at four grades of noise. Both sides start from
random weights, twice. A killed run goes on with the command that was cut off. `benchmarks/designs/plan.py` has every
setting.

    published      detector on whole images, first small, then large; scorer's loss over micro-batches of 12, where a
                   repeated caption is a negative, recipe augv2; its cuts, plain argmax
    caption-aware  and repeated captions are positives
    global         and the loss over the whole batch
    recipe         and the scorer's recipe for networks trained from nothing: upright crops, one warp, little noise
    vocabulary     and a softmax over all captions and "none", and the caption's words, in place of pairs
    small          and the small scorer with a convolutional stem
    detector       and a detector of crops first, then of whole images with noise
    cuts           and cuts chosen on the tuning scenes, at two grades of noise together
    denoise        and noise filtered out before the detector
    vote           and boxes moved by their proposals' votes
    views          and the mean embedding of crop and mirror image
    posterior      and the posterior in place of the score, its cuts chosen anew
    refusal        and joint assignment in which a caption may refuse, its cuts chosen anew

The learning rate is the better of two on the tuning scenes' own crops, chosen for the published loss and for ours.
Then the first and the last step once more with crops enlarged by a trained upscaler, one seed.
Exit status 1 when ours makes more than 0.70 of the published errors or the interval does not end below 0.75.
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.designs.judging import Judge, about, compute, is_met, judged, judged_enlarged
from benchmarks.designs.plan import FIRST, SCORERS, STEPS, Plan
from benchmarks.designs.work import Work
from core.files import write_json

ROOT = Path(__file__).resolve().parents[1]


def compare(work: Work) -> dict[str, Any]:
    """Make what is missing, judge, and tell everything that the result says; the goal's two systems come first."""
    work.folder.mkdir(parents=True, exist_ok=True)
    work.draw()
    judge, seeds = Judge(work), work.plan.seeds
    between = tuple(name for name in SCORERS if name not in FIRST)
    for names, seed in [(names, seed) for names in (FIRST, between) for seed in seeds]:
        work.train_detectors(seed)
        work.train_scorers([name for name in SCORERS if name in names], seed)
        work.export(names, seed)
        if names == FIRST or seed == seeds[-1]:
            there = [name for name, step in STEPS.items() if step.asked in {*FIRST, *names}]
            complete = seeds if names == between else seeds[: seeds.index(seed) + 1]
            result = about(work) | judged(judge, there, complete) | compute(work, complete)
            write_json(work.folder / "steps.json", result)  # kept if the rest is cut off
            show(result)
    work.enlarge()
    return result | judged_enlarged(judge) | compute(work, seeds)


def show(result: dict[str, Any]) -> None:
    """The table of the steps, the processor time, and the rows with enlarged crops where there are any."""
    from eval.tables import print_table

    rows = [{"step": r["step"], "accuracy": r["accuracy"], "ceiling": r["ceiling"],
             "gave": r["over_previous"]["difference"], "low": r["over_previous"]["ci95"][0],
             "high": r["over_previous"]["ci95"][1], "error_ratio": r["error_ratio"][0],
             "ratio_low": r["error_ratio"][1], "ratio_high": r["error_ratio"][2]} for r in result["steps"]]  # fmt: skip
    print_table(rows, list(rows[0]))
    spent = result["spent"]
    print(f"processor time of detectors and scorers: published {spent['published']} s, ours {spent['ours']} s "
          f"({spent['ours_over_published']:.2f})")  # fmt: skip
    for row in result.get("enlarged", {}).get("rows", ()):
        ratio, low, high = row["error_ratio"]
        print(f"{row['step']}: {row['accuracy']:.4f} ({row['accuracy_plain']:.4f} as cut), errors over the published "
              f"design's as cut {ratio:.3f} ({low:.3f} to {high:.3f})")  # fmt: skip


def main() -> None:
    """Compare, write the result, print its table; the exit status says whether the goal is met."""
    jobs = next((int(word[5:]) for word in sys.argv[1:] if word in {"jobs=1", "jobs=2"}), 2)
    words = [word for word in sys.argv[1:] if word not in {"jobs=1", "jobs=2"}]
    if not 2 <= len(words) <= 3:
        print(__doc__)
        raise SystemExit(0 if {"-h", "--help"} & set(words) else 2)
    os.environ["OMP_NUM_THREADS"] = "1"  # of this process too
    for name in ("accelerate", "albumentations", "torch", "transformers"):
        importlib.import_module(name)  # what every training loads, so that none of them pays for it
    work = Work(Path(words[1]).resolve(), Path(words[0]).resolve(), Plan(), jobs)
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    told = {"command": "python benchmarks/published_design.py ANNOTATIONS WORK RESULT.json", "commit": head.strip()}
    result = told | compare(work)
    write_json(Path(words[2]) if len(words) > 2 else work.folder / "result.json", result)
    show(result)
    met = is_met(result["steps"])
    print(f"goal: at most {result['goal']['error_ratio']:.2f} of the errors, interval below "
          f"{result['goal']['high']:.2f}: {'met' if met else 'not met'}")  # fmt: skip
    raise SystemExit(0 if met else 1)


if __name__ == "__main__":
    main()
