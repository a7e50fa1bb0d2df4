"""Write docs/results.md: published, corrected, ours, what the takeaways are worth, and ours against that design.

    python scripts/results_page.py                # as committed
    python scripts/results_page.py runs=DIR       # with the accuracies of the pipeline.export runs below DIR

The evidence of a takeaway is a query (docs/takeaways.yaml): all pairs of rows that differ in one axis alone. Its
verdict is computed: a claim holds when each pair differs in the claimed direction by more than chance, does not hold
when each differs in the other direction, and is unknown otherwise. The intervals treat the two runs of a pair as
independent samples of captions, which is on the safe side, since both answered the same ones.
"""

import csv
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from designs import designs, table_head  # beside this script, like the next three
from experiment_presets import Row, read_rows
from reflow import reflow
from words import read_words

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results.md"
TAKEAWAYS = ROOT / "docs" / "takeaways.yaml"
# What an accuracy is a share of. The hidden test's is told by its three decimals; own test: boxes, and captions alike.
SIZES = {"test": 1000, "validation": 5694, "own test": 2400}
MEASURED = ROOT / "docs" / "results" / "measured.csv"
# What makes a run: of its own row, and of the row that trained its scorer. `enlarging` is two columns of one meaning.
RUN_AXES = ("detector", "imgsz", "tta", "slices", "fusion", "wbf_iou", "fusion_weights", "confidence", "nms_iou",
            "max_det", "scorer")  # fmt: skip
TRAINING_AXES = ("crops", "recipe", "epochs", "batch", "lr", "weight_decay", "frozen", "continues")
HEAD = """# Results

Made by `python scripts/results_page.py` from [experiments.csv](experiments.csv), [takeaways.yaml](takeaways.yaml) and
[results/](results/); the suite fails when they differ. "Log lines" are places in the published log. What was measured
here stands in its own two sections, with its source; all other figures are the published log's, or follow from them.
"""
ABOUT_TAKEAWAYS = """## What the takeaways are worth

Sizes: {sizes}. Differences in points, ± half the 95 % interval.
The pairs are all those of the table that differ in the axis named; they share rows, so they are not so many independent
findings. Lines 146 and 148 of the log are advice on how to work and claim nothing to test.
"""
ABOUT_OURS = """## Ours

Whole systems trained from nothing on two CPU cores, on drawn scenes; not comparable with the log's figures, whose
images, checkpoints and GPUs were not here. Ceiling: the best candidate by overlap; chance: a random one.
"""
NONE_OF_OURS = """No preset of these was run here: the images, the checkpoints and a GPU were missing. So there is no
column for ours. `python scripts/results_page.py runs=DIR` adds it from the `pipeline.export` runs below a folder.
"""
ABOUT_DETECTORS = """
## Every detector measured

Nor was any of these run here. The log does not say which rendering (V1 or V2) of its own test they saw.
"""
GROUNDING = ("run", "validation", "corrected", "own test", "hidden test", "log lines")
DETECTOR = ("run", "AP", "AP50", "recall", "corrected", "precision", "log lines")

COLUMNS = {"test": ("test_accuracy",), "validation": ("val_corrected", "val_accuracy"),
           "own test": ("recall_corrected",)}  # fmt: skip


def _judged(row: Row, split: str) -> bool:
    return any(row.get(column) for column in COLUMNS[split])


def accuracy(row: Row, split: str) -> float:
    """A row's accuracy (own test: recall of its boxes) on one split, corrected where the published one is wrong."""
    return float(next(row[column] for column in COLUMNS[split] if row.get(column)))


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


def axes_of(row: Row, rows: dict[str, Row]) -> Row:
    """What makes a run, its scorer's training included (empty for a scorer used as published)."""
    trained = rows.get(row["scorer_run"], {}) if row["task"] == "grounding" else {}
    values = {axis: row[axis] for axis in RUN_AXES} | {axis: trained.get(axis, "") for axis in TRAINING_AXES}
    return values | {"enlarging": f"{row['upscaler']} {row['pad']}".strip()}


def _fits(value: str, wanted: str | list[str]) -> bool:
    if wanted == "any":
        return value not in {"", "none"}
    return value in ([wanted] if isinstance(wanted, str) else wanted)


def evidence(entry: dict[str, Any], rows: dict[str, Row]) -> list[Difference]:
    """Every pair of rows that differ in the claim's axis (and what it leaves free) alone, as better and worse."""
    if "axis" not in entry:
        return []
    task, split = ("detector" if entry["split"] == "own test" else "grounding"), entry["split"]
    judged = {name: axes_of(row, rows) for name, row in rows.items() if row["task"] == task and _judged(row, split)}
    judged = {n: a for n, a in judged.items() if all(a[k] == v for k, v in entry.get("where", {}).items())}
    open_axes = {entry["axis"], *entry.get("free", [])}
    pairs = [
        (one, other)
        for one, its in judged.items() if _fits(its[entry["axis"]], entry["better"])
        for other, others in judged.items() if _fits(others[entry["axis"]], entry["worse"])
        if all(its[axis] == others[axis] for axis in its if axis not in open_axes) and _goes_on(rows, one, other, entry)
    ]  # fmt: skip
    return [difference(rows, one, other, split) for one, other in pairs]


def _goes_on(rows: dict[str, Row], one: str, other: str, entry: dict[str, Any]) -> bool:
    """A continued training is compared with the one that it went on from."""
    if entry["axis"] != "continues":
        return True
    return rows[rows[one]["scorer_run"]]["continues"] == rows[other]["scorer_run"]


def verdict(differences: list[Difference]) -> str:
    """What the pairs say of a claim that `better` is better."""
    if differences and all(d.value > d.half for d in differences):
        return "holds"
    if differences and all(d.value < -d.half for d in differences):
        return "does not hold"
    return "unknown"


def counted(differences: list[Difference]) -> str:
    """How many pairs point which way, and how many of them by more than chance."""
    ahead, behind = (sum(sign * d.value > 0 for d in differences) for sign in (1, -1))
    clear, against = (sum(sign * d.value > d.half for d in differences) for sign in (1, -1))
    pairs = "the one pair" if len(differences) == 1 else f"{len(differences)} pairs"
    return (f"Of {pairs} {ahead} differ as claimed ({clear} by more than chance), "
            f"{behind} the other way ({against}).")  # fmt: skip


def ranking(runs: str) -> dict[str, Any]:
    """How validation, corrected, ranks these runs as the test does (`eval.correlation` on the published pairs)."""
    from eval.correlation import CorrelationConfig, correlations

    return next(row for row in correlations(CorrelationConfig(metrics=["val"])) if row["runs"] == runs)


def takeaways(rows: list[Row]) -> list[str]:
    """The section on the takeaways, one part each."""
    by_id = {row["id"]: row for row in rows}
    sizes = ", ".join(f"{name} {size}" for name, size in SIZES.items())
    lines = [ABOUT_TAKEAWAYS.format(sizes=sizes)]
    for entry in yaml.safe_load(TAKEAWAYS.read_text(encoding="utf-8")):
        lines += takeaway(entry, by_id)
    return lines


def takeaway(entry: dict[str, Any], by_id: dict[str, Row]) -> list[str]:
    """One claim: verdict, what was asked of the table, the pairs."""
    found = sorted(evidence(entry, by_id), key=lambda d: -d.value)
    ranks = ranking(entry["unranked"]) if "unranked" in entry else None
    said = verdict(found) if ranks is None else "does not hold" if ranks["kendall_low"] > 0 else "unknown"
    lines = [
        f"### {entry['claim']}",
        "",
        f"**{said.capitalize()}** (log line {entry['line']}). {entry['note'].strip()}",
        "",
    ]
    if ranks is not None:
        low, high = ranks["kendall_low"], ranks["kendall_high"]
        return [*lines, f"- Kendall's tau {ranks['kendall']:.2f} ({low:.2f} to {high:.2f}), {ranks['pairs']} runs", ""]
    if not found:
        return lines
    free = f", whatever their {', '.join(entry['free'])}" if "free" in entry else ""
    lines += [f"Rows that differ in {entry['axis']}{free}. {counted(found)}", ""]
    lines += [f"- {d.split}: {100 * d.value:+.1f} ± {100 * d.half:.1f}, `{d.better}` over `{d.worse}`" for d in found]
    return [*lines, ""]


def measured() -> list[str]:
    """What this repository's own systems reached, from docs/results/measured.csv."""
    with open(MEASURED, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    lines = [
        ABOUT_OURS,
        *table_head(("system", "accuracy", "95 % by image", "chance", "ceiling", "scorer alone", "AP50", "source")),
    ]
    for row in rows:
        cells = [row[c] for c in ("accuracy", "interval", "chance", "ceiling", "scorer_alone", "AP50")]
        source = f"`{row['command']}`, [log.md](log.md) of {row['date']}: {row['section']}"
        lines.append(f"| {row['system']} | {' | '.join(cells)} | {source} |")
    return [*lines, ""]


def ours(folder: str | None) -> dict[str, float]:
    """Accuracies of finished pipeline.export runs below a folder, by preset; of several the latest."""
    found: dict[str, float] = {}
    for path in sorted(Path(folder).rglob("run.json") if folder else [], key=lambda p: p.stat().st_mtime):
        words = json.loads(path.read_text())["command_line"]
        names = [w.partition("=")[2] for w in words if w.startswith("experiment/grounding=")]
        metrics = path.with_name("metrics.json")
        if names and metrics.is_file() and "accuracy" in (measured := json.loads(metrics.read_text())):
            found[names[-1]] = measured["accuracy"]
    return found


def _shown(value: str) -> str:
    return f"{float(value):.3f}" if value else ""


def table(rows: list[Row], made: dict[str, float]) -> list[str]:
    """Published against corrected, and against ours where a preset was run, one line a row of the log."""
    names = (*GROUNDING[:-1], *(["ours"] if made else []), GROUNDING[-1])
    lines = ["## Every grounding run", ""]
    if not made:
        lines.append(NONE_OF_OURS)
    lines += table_head(names)
    for row in (r for r in rows if r["task"] == "grounding"):
        cells = [_shown(row[c]) for c in ("val_accuracy", "val_corrected", "own_test_accuracy", "test_accuracy")]
        if made:
            cells.append(f"{made[row['id']]:.3f}" if row["id"] in made else "")
        lines.append(f"| `{row['id']}` | {' | '.join(cells)} | {row['place']} |")
    lines += [ABOUT_DETECTORS, *table_head(DETECTOR)]
    for row in (r for r in rows if r["task"] == "detector" and (r["AP"] or r["recall"])):
        cells = [_shown(row[c]) for c in ("AP", "AP50", "recall", "recall_corrected", "precision")]
        lines.append(f"| `{row['id']}` | {' | '.join(cells)} | {row['place']} |")
    return lines


def page(runs: str | None = None) -> str:
    """The whole page."""
    rows = read_rows()
    return reflow("\n".join([HEAD, *takeaways(rows), *measured(), *designs(), *table(rows, ours(runs))]) + "\n")


def main() -> None:
    """Write the page."""
    words = read_words("results_page", __doc__, ("runs",), sys.argv[1:])
    PAGE.write_text(page(words.get("runs")), encoding="utf-8")


if __name__ == "__main__":
    main()
