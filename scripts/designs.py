"""The section of docs/results.md about ours against the published design, from what its benchmark wrote."""

import json
from pathlib import Path
from typing import Any

from core.counting import count

DESIGNS = Path(__file__).resolve().parents[1] / "docs" / "results" / "published_design.json"


def designs() -> list[str]:
    """Ours against the published design on drawn scenes, each step over the one before, from the benchmark's result."""
    result = json.loads(DESIGNS.read_text(encoding="utf-8"))
    goal, spent, last = result["goal"], result["spent"], result["steps"][-1]["error_ratio"]
    met = last[0] <= goal["error_ratio"] and last[2] < goal["high"]
    seeds = count(len(result["seeds"]), "seed")
    about = (
        f"Not the log's: {count(result['answers'], 'answer')} over {count(result['images'], 'drawn scene')} at "
        f"{len(result['grades'])} grades of noise, small models trained from nothing by each design with {seeds} in "
        f"{spent['published'] / 60:.0f} and {spent['ours'] / 60:.0f} processor minutes "
        f"([published_design.json](results/published_design.json) of {result['date']} at {result['commit']}, "
        f"`benchmarks/published_design.py`, which says what each step is). Goal: at most {goal['error_ratio']} of the "
        f"errors, the interval's upper end below {goal['high']}; **{'met' if met else 'not met'}**. The intervals are "
        "over images, not over trainings."
    ) + (f" **Not run** yet: {', '.join(result['not_run'])}." if result["not_run"] else "")
    lines = [
        *table_head(("step", "accuracy", "a right candidate", "gave, points", "errors over the published design's"))
    ]
    for step in result["steps"]:
        gave, (low, high) = step["over_previous"]["difference"], step["over_previous"]["ci95"]
        first = step is result["steps"][0]
        change = "" if first else f"{100 * gave:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        errors = "1" if first else _ratio(step["error_ratio"])
        lines.append(f"| {step['step']} | {step['accuracy']:.3f} | {step['ceiling']:.3f} | {change} | {errors} |")
    return ["## Ours against the published design", "", about, "", *lines, "", *_enlarged(result)]


def _enlarged(result: dict[str, Any]) -> list[str]:
    """The rows whose crops a trained upscaler enlarged, where they were run."""
    if "enlarged" not in result:
        return []
    told = result["enlarged"]
    about = (f"The first and the last step with crops enlarged by `{told['upscaler']}`, "
             f"{count(len(told['seeds']), 'seed')}; ours over the published design, both enlarged: "
             f"{_ratio(told['ours_over_published'])}.")  # fmt: skip
    lines = [*table_head(("step", "accuracy", "the same seed, not enlarged", "errors over its own, not enlarged",
                     "errors over the published design's, not enlarged"))]  # fmt: skip
    for row in told["rows"]:
        ratios = f"{_ratio(row['over_itself_plain'])} | {_ratio(row['error_ratio'])}"
        lines.append(f"| {row['step']} | {row['accuracy']:.3f} | {row['accuracy_plain']:.3f} | {ratios} |")
    return [about, "", *lines, ""]


def _ratio(told: list[float]) -> str:
    return f"{told[0]:.2f} ({told[1]:.2f} to {told[2]:.2f})"


def table_head(names: tuple[str, ...]) -> list[str]:
    """The first two lines of a Markdown table."""
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
