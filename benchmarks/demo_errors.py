"""The errors of one demo's system over another's: the same unseen scenes, clean and noisy, several trainings.

    python benchmarks/demo_errors.py earlier=CLEAN,NOISY now=CLEAN,NOISY [now=CLEAN,NOISY ...] [json=FILE]

Each word names the `pipeline.export` run folders of one training over scenes that no training saw and over their noisy
copies, which `data.scenes` with the demo's settings and another seed and `data.noise grade=gauss2000` make. Prints the
accuracies, and the mean over trainings of the errors of `now` over those of `earlier`, its 95 % interval by scenes (a
scene's clean and noisy copy are drawn together). The interval is of scenes, not of trainings.
Exit status 1 when the ratio is above 0.62 or the interval's upper end above 0.68.
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.recording import record, take_json
from core.counting import count
from core.files import read_json
from eval.compare import read_run
from eval.grounding import main as judge
from eval.runs import read_settings
from eval.statistics import Resamples

GOAL, GOAL_HIGH = 0.62, 0.68


def main() -> None:
    """Judge, compare, print."""
    file = take_json()
    words = [word.partition("=")[::2] for word in sys.argv[1:]]
    systems = {name: [value.split(",") for key, value in words if key == name] for name in ("earlier", "now")}
    if not all(systems.values()) or {key for key, _ in words} - set(systems):
        print(__doc__)
        raise SystemExit(0 if {"-h", "--help"} & set(sys.argv) else 2)
    judged = {name: [[errors_of(run) for run in runs] for runs in trainings] for name, trainings in systems.items()}
    figures: dict[str, object] = {}
    for name, trainings in judged.items():
        shares = [[float(wrong.mean()) for wrong, _ in training] for training in trainings]
        figures[f"{name}_accuracies"] = [[1 - share for share in training] for training in shares]
        for runs, training in zip(systems[name], shares, strict=True):
            print(f"{name}: " + ", ".join(f"{1 - s:.4f} ({r})" for r, s in zip(runs, training, strict=True)))
    before, after = (mean_errors(judged[name]) for name in ("earlier", "now"))
    images = [image for _, names in judged["now"][0] for image in names]
    (low, high) = Resamples(images).intervals(after[:, None], before[:, None])[0]
    ratio = float(after.sum() / before.sum())
    print(f"errors, now over earlier: {ratio:.3f} ({low:.3f} to {high:.3f}), {len(set(images))} scenes, "
          f"{count(len(judged['now']), 'training')} against {len(judged['earlier'])}")  # fmt: skip
    record(file, "demo_errors", {"scenes": len(set(images)), "ratio": ratio, "ci95": [low, high], **figures})
    raise SystemExit(0 if ratio <= GOAL and high <= GOAL_HIGH else 1)


def errors_of(run: str) -> tuple[NDArray[np.bool_], list[str]]:
    """(M,) whether each caption of an export was answered wrongly, and its image."""
    truth = str(read_settings(Path(run))["annotations"])
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        words = [f"truth={truth}", f"predictions={run}/predictions.jsonl", "tracking.mode=disabled"]
        judge([*words, f"run_dir={folder}/judged"])
        found = read_run(f"{folder}/judged")
    expected = read_json(Path(run) / "metrics.json")["num_hits"]
    assert int(found.hits.sum()) == expected, f"{run}: judged {int(found.hits.sum())} right, its own figure {expected}"
    return ~found.hits, [str(caption[0]) for caption in found.captions]


def mean_errors(trainings: Sequence[Sequence[tuple[NDArray[np.bool_], list[str]]]]) -> NDArray[np.float64]:
    """(M,) each answer's share of trainings that were wrong, clean captions first."""
    wrong_TM = np.stack([np.concatenate([wrong for wrong, _ in training]) for training in trainings])
    return np.asarray(wrong_TM.mean(axis=0), np.float64)


if __name__ == "__main__":
    main()
