"""Write docs/results.md: published, corrected, ours, what the takeaways are worth, and ours against that design.

    python scripts/results_page.py                # as committed
    python scripts/results_page.py runs=DIR       # with the accuracies of the pipeline.export runs below DIR

A verdict is computed: a claim holds when each of its pairs differs in the claimed direction by more than chance, does
not hold when each differs in the other direction, and is unknown otherwise. The intervals treat the two runs of a pair
as independent samples of captions, which is on the safe side, since both answered the same ones.
"""

import csv
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "experiments.csv"
PAGE = ROOT / "docs" / "results.md"
TAKEAWAYS = ROOT / "docs" / "takeaways.yaml"
DESIGNS = ROOT / "docs" / "results" / "published_design.json"
# What an accuracy is a share of. The hidden test's is told by its three decimals; own test: boxes, and captions alike.
SIZES = {"test": 1000, "validation": 5694, "own test": 2400}
HEAD = """# Results

Made by `python scripts/results_page.py` from [experiments.csv](experiments.csv); the suite fails when the two differ.
Every figure but those of ours against the published design is the published log's, at the lines that the table names,
or follows from them. Nothing of the log was repeated here: that takes the competition's pictures, its checkpoints and
GPUs, none of which were at hand ("ours" is empty).
`python scripts/results_page.py runs=DIR` fills it in.
"""
GROUNDING = ("run", "validation", "corrected", "own test", "hidden test", "ours", "log lines")
DETECTOR = ("run", "AP", "AP50", "recall", "corrected", "precision", "log lines")

Row = dict[str, str]


def read_rows() -> list[Row]:
    """The table's rows."""
    with open(TABLE, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def accuracy(row: Row, split: str) -> float:
    """A row's accuracy (own test: recall of its boxes) on one split, corrected where the published one is wrong."""
    columns = {"test": ("test_accuracy",), "validation": ("val_corrected", "val_accuracy"),
               "own test": ("recall_corrected",)}  # fmt: skip
    return float(next(row[column] for column in columns[split] if row[column]))


@dataclass(frozen=True)
class Difference:
    """Accuracy of `better` minus that of `worse`, with half the width of its 95 % interval, as fractions."""

    better: str
    worse: str
    split: str
    value: float
    half: float


def difference(rows: dict[str, Row], better: str, worse: str, split: str) -> Difference:
    """The difference of two rows on one split."""
    one, other = accuracy(rows[better], split), accuracy(rows[worse], split)
    half = 1.96 * math.sqrt((one * (1 - one) + other * (1 - other)) / SIZES[split])
    return Difference(better, worse, split, one - other, half)


def verdict(differences: list[Difference]) -> str:
    """What the pairs say of a claim that `better` is better."""
    if differences and all(d.value > d.half for d in differences):
        return "holds"
    if differences and all(d.value < -d.half for d in differences):
        return "does not hold"
    return "unknown"


def ranking(runs: str) -> dict[str, Any]:
    """How validation, corrected, ranks these runs as the test does (`eval.correlation` on the published pairs)."""
    from eval.correlation import CorrelationConfig, correlations

    return next(row for row in correlations(CorrelationConfig(metrics=["val"])) if row["runs"] == runs)


def takeaways(rows: list[Row]) -> list[str]:
    """The section on the takeaways, one line of a list each."""
    by_id = {row["id"]: row for row in rows}
    sizes = ", ".join(f"{name} {size}" for name, size in SIZES.items())
    lines = ["## What the takeaways are worth", ""]
    lines += [f"Sizes: {sizes}. Differences in points, ± half the 95 % interval.", ""]
    for entry in yaml.safe_load(TAKEAWAYS.read_text(encoding="utf-8")):
        found = [difference(by_id, *pair) for pair in entry.get("pairs", [])]
        ranks = ranking(entry["unranked"]) if "unranked" in entry else None
        said = verdict(found) if ranks is None else "does not hold" if ranks["kendall_low"] > 0 else "unknown"
        worth = f"**{said.capitalize()}** (log line {entry['line']}). {entry['note'].strip()}"
        lines += [f"### {entry['claim']}", "", worth, ""]
        if ranks is not None:
            low, high = ranks["kendall_low"], ranks["kendall_high"]
            lines += [f"- Kendall's tau {ranks['kendall']:.2f} ({low:.2f} to {high:.2f}), {ranks['pairs']} runs", ""]
        for d in found:
            lines.append(f"- {d.split}: {100 * d.value:+.1f} ± {100 * d.half:.1f}, `{d.better}` over `{d.worse}`")
        lines += [""] if found else []
    return lines


def ours(folder: str | None) -> dict[str, float]:
    """Accuracies of finished pipeline.export runs below a folder, by preset; of several the latest."""
    found: dict[str, float] = {}
    for path in sorted(Path(folder).rglob("run.json") if folder else [], key=lambda p: p.stat().st_mtime):
        words = json.loads(path.read_text())["command_line"]
        names = [w.partition("=")[2] for w in words if w.startswith("experiment/grounding=")]
        metrics = path.with_name("metrics.json")
        if names and metrics.is_file() and "accuracy" in (told := json.loads(metrics.read_text())):
            found[names[-1]] = told["accuracy"]
    return found


def _shown(value: str) -> str:
    return f"{float(value):.3f}" if value else ""


def _head(names: tuple[str, ...]) -> list[str]:
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def table(rows: list[Row], made: dict[str, float]) -> list[str]:
    """Published against corrected against ours, one line a row of the log."""
    lines = ["## Every grounding run", "", *_head(GROUNDING)]
    for row in (r for r in rows if r["task"] == "grounding"):
        cells = [_shown(row[c]) for c in ("val_accuracy", "val_corrected", "own_test_accuracy", "test_accuracy")]
        mine = f"{made[row['id']]:.3f}" if row["id"] in made else ""
        lines.append(f"| `{row['id']}` | {' | '.join(cells)} | {mine} | {row['place']} |")
    lines += ["", "## Every detector measured", "", *_head(DETECTOR)]
    for row in (r for r in rows if r["task"] == "detector" and (r["AP"] or r["recall"])):
        cells = [_shown(row[c]) for c in ("AP", "AP50", "recall", "recall_corrected", "precision")]
        lines.append(f"| `{row['id']}` | {' | '.join(cells)} | {row['place']} |")
    return lines


def designs() -> list[str]:
    """Ours against the published design on drawn scenes, each step over the one before, from the benchmark's result."""
    result = json.loads(DESIGNS.read_text(encoding="utf-8"))
    goal, last = result["goal"]["error_ratio"], result["steps"][-1]["error_ratio"]
    met = "met" if last[2] <= goal else "not met" if last[1] > goal else "undecided"
    grades, seeds = len(result["grades"]), len(result["seeds"])
    about = (
        f"Not the log's: {result['answers']} answers over {result['images']} drawn scenes at {grades} grades of noise, "
        f"small models trained by each design with {seeds} seeds "
        "([published_design.json](results/published_design.json), `benchmarks/published_design.py`). "
        f"Goal: at most {goal} of the errors; **{met}**. The intervals are over images, not over trainings."
    )
    lines = [*_head(("step", "accuracy", "gave, points", "errors over the published design's"))]
    for step in result["steps"]:
        gave, (low, high) = step["over_previous"]["difference"], step["over_previous"]["ci95"]
        ratio = step["error_ratio"]
        first = step is result["steps"][0]
        change = "" if first else f"{100 * gave:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        errors = "1" if first else f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"
        lines.append(f"| {step['step']} | {step['accuracy']:.3f} | {change} | {errors} |")
    return ["## Ours against the published design", "", about, "", *lines, ""]


def page(runs: str | None = None) -> str:
    """The whole page."""
    rows = read_rows()
    return "\n".join([HEAD, *takeaways(rows), *designs(), *table(rows, ours(runs))]) + "\n"


def main() -> None:
    """Write the page."""
    words = dict(word.partition("=")[::2] for word in sys.argv[1:])
    if set(words) - {"runs"}:
        print(f"results_page: {next(iter(set(words) - {'runs'}))}: runs is the only setting", file=sys.stderr)
        raise SystemExit(2)
    PAGE.write_text(page(words.get("runs")), encoding="utf-8")


if __name__ == "__main__":
    main()
