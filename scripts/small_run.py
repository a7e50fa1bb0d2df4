"""Make a whole small system in under a minute of one core: what the notebooks look at when there is no other run.

    python scripts/small_run.py                    # runs/small
    python scripts/small_run.py run_dir=DIR

The folders have the names that scripts/chain.py gives them, so the notebooks look at a chain's run just as well. Its
figures mean nothing: 120 drawn images of 192x112 pixels, six captions, models that were trained for seconds.
"""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from words import read_words  # beside this script

ROOT = Path(__file__).resolve().parents[1]
CAPTIONS = "red drone,blue drone,white missile,red missile,blue helicopter,white helicopter"
SCORER = ("scorer=demo", "recipe=none", "batch.size=32", "lr=2e-3", "weight_decay=0.05")
STAGE = "{imgsz: 192, epochs: 8, args: {lr0: 0.005, warmup_epochs: 1, close_mosaic: 2}}"
CUTS = ("confidence=0.1", "nms_iou=0.5", "tracking.mode=disabled")

Command = tuple[str, str, tuple[str, ...]]  # the command, its folder, its other words


def commands(run: Path) -> list[Command]:
    """The public commands that make the run, in order."""
    scenes, split, export = run / "scenes", run / "split", run / "export"
    asked = (f"annotations={split}/val.jsonl", f"images={scenes}/images", f"detector={run}/detector", *CUTS)
    shared = f"candidates={export}/candidates"
    trained = (*SCORER, f"crops={run}/crops", "tracking.mode=disabled")
    return [
        ("data.scenes", "scenes", ("num_images=120", "seed=0", "size=[192,112]", "target_size=[28,20]", "workers=1",
                                   f"captions=[{CAPTIONS}]")),
        ("data.split", "split", (f"annotations={scenes}/annotations.jsonl", "val_fraction=0.2")),
        ("data.yolo", "yolo", (f"annotations={split}/train.jsonl", f"val={split}/val.jsonl",
                               f"images={scenes}/images")),
        ("detector.train", "detector", (f"data={run}/yolo", "detector=demo", "recipe=none", "device=cpu",
                                        f"stages=[{STAGE}]", "tracking.mode=disabled")),
        ("data.crops", "crops", (f"annotations={split}/train.jsonl", f"images={scenes}/images")),
        ("siglip.train", "early_scorer", (*trained, "epochs=1")),
        ("siglip.train", "scorer", (*trained, "epochs=8")),
        ("pipeline.export", "export", (*asked, f"scorer={run}/scorer/last")),
        ("pipeline.export", "export_enlarged", (*asked, f"scorer={run}/scorer/last", "upscaler=lanczos",
                                                "scorer.any_policy=true", shared)),
        ("pipeline.export", "export_early", (*asked, f"scorer={run}/early_scorer/last", shared)),
        ("eval.coco", "coco", (f"truth={split}/val.jsonl", f"detections={export}/detections.json")),
        ("eval.grounding", "grounding", (f"truth={split}/val.jsonl", f"predictions={export}/predictions.jsonl")),
    ]  # fmt: skip


def small_run(folder: Path | None = None, tell: Callable[[str], None] = print) -> Path:
    """The run to look at: `folder`, else the environment's GROUNDER_RUN, else runs/small, made if it is not there."""
    run = Path(folder or os.environ.get("GROUNDER_RUN", ROOT / "runs" / "small")).resolve()
    if (run / "grounding" / "metrics.json").is_file():
        return run
    for command, name, words in commands(run):
        tell(f"$ python -m {command} {' '.join(words)} run_dir={run / name}")
        importlib.import_module(command).main([*words, f"run_dir={run / name}"])
    return run


def main() -> None:
    """Make the run that the command line names."""
    words = read_words("small_run", __doc__, ("run_dir",), sys.argv[1:])
    print(small_run(Path(words["run_dir"]) if "run_dir" in words else None))


if __name__ == "__main__":
    main()
