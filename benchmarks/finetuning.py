"""A published fine-tuning preset against the ways that trainings from nothing gained by, on pretrained SigLIP.

    python benchmarks/finetuning.py crops=CROPS annotations=FILE images=DIR detector=WEIGHTS
        [preset=large_augv2_x4_ep5] [upscaler=none] [run_dir=runs/finetuning] [launch="accelerate launch --multi_gpu"]
        [train="WORDS"] [export="WORDS"]

Three scorers are fine-tuned: by the preset as published, by it with upright crops (`finetune=upright`), and by it with
the whole vocabulary in place of pairs as well (`finetune=vocabulary`). Each is asked about the images as published and
with mirrored views and posterior choosing. `train` and `export` are further words of those commands, for instance
`train="scorer=runs/mine epochs=1"` or `export="device=cuda"`; the crops must be enlarged by `upscaler`. Each step is a
public command; a finished one is not run again. Prints accuracies and paired differences from the first with intervals,
writes `results.json`. Cost: three fine-tunings, for SigLIP-L/384 hours on a GPU. With published weights and a GPU it
has not run: neither was at hand where this was written; the tests run it with small models.
"""

import importlib
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.files import write_json
from core.runs import is_done
from eval.compare import compare, read_run

NEEDED = ("crops", "annotations", "images", "detector")
DEFAULTS = {"preset": "large_augv2_x4_ep5", "upscaler": "none", "run_dir": "runs/finetuning", "launch": "",
            "train": "", "export": ""}  # fmt: skip
TRAININGS = {"published": (), "upright": ("finetune=upright",), "vocabulary": ("finetune=vocabulary",)}
CHOOSINGS = {
    "published": (),
    "new": ("scorer.views=[plain,flip_lr]", "choosing.combine=posterior", "choosing.method=assignment",
            "choosing.refusal=0.3", "confidence=0.02", "vote_iou=0.6"),
}  # fmt: skip
MARGIN = 0.01


def main() -> None:
    """Run what is not finished yet, then compare."""
    words = dict(word.partition("=")[::2] for word in sys.argv[1:] if word)
    if set(words) - {*NEEDED, *DEFAULTS} or not set(NEEDED) <= set(words):
        print(__doc__)
        raise SystemExit(0 if set(words) & {"-h", "--help"} else 2)
    settings = DEFAULTS | words
    judged = [
        answer(settings, training, choosing) for training in TRAININGS for choosing in CHOOSINGS
    ]  # fmt: skip
    report(Path(settings["run_dir"]), settings, judged)


def answer(settings: dict[str, str], training: str, choosing: str) -> Path:
    """Fine-tune one way, ask one way; the folder of the judged answers."""
    root, name = Path(settings["run_dir"]), f"{training}_{choosing}"
    scorer = step(root / f"scorer_{training}", "siglip.train", f"experiment/siglip={settings['preset']}",
                  f"crops={settings['crops']}", *TRAININGS[training], *shlex.split(settings["train"]),
                  launch=shlex.split(settings["launch"]))  # fmt: skip
    export = step(root / f"export_{name}", "pipeline.export", f"annotations={settings['annotations']}",
                  f"images={settings['images']}", f"detector={settings['detector']}",
                  f"upscaler={settings['upscaler']}", f"scorer={scorer}/last", *CHOOSINGS[choosing],
                  *shlex.split(settings["export"]))  # fmt: skip
    return step(root / f"judged_{name}", "eval.grounding", f"truth={settings['annotations']}",
                f"predictions={export}/predictions.jsonl")  # fmt: skip


def step(path: Path, command: str, *words: str, launch: Sequence[str] = ()) -> Path:
    """Run one public command unless it is done with the same settings; its failure ends the benchmark."""
    told = [*words, f"run_dir={path}"]
    if is_done(path, told):
        return path
    print(f"$ {command} {shlex.join(told)}", flush=True)
    if not launch:
        importlib.import_module(command).main(told)
    elif subprocess.run([*launch, "-m", command, *told], check=False).returncode != 0:
        raise SystemExit(f"finetuning: {command} failed; the same command goes on here")
    return path


def report(root: Path, settings: dict[str, str], judged: Sequence[Path]) -> None:
    """Tables on the terminal, `results.json` in the run folder."""
    table, differences = compare([read_run(str(path)) for path in judged], MARGIN)
    found: dict[str, Any] = {"settings": settings, "runs": table, "differences": differences}
    for row in table:
        print(f"  {Path(row['run']).name:<28} {row['accuracy']:.4f} ({row['ci95_low']:.4f} to {row['ci95_high']:.4f})")
    print("differences from the first:")
    for row in differences:
        print(
            f"  {Path(row['b']).name:<28} {row['difference']:+.4f} ({row['ci95_low']:+.4f} to {row['ci95_high']:+.4f})"
        )
    write_json(root / "results.json", found)
    print(f"results in {root}")


if __name__ == "__main__":
    main()
