"""Compare accuracy with speed: speed scores and totals as published, and the systems that no other beats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import InputError
from core.files import write_json, write_text
from core.runs import RunConfig, RunFolder
from core.tracking import TrackingConfig
from eval.charts.pareto import pareto
from eval.robustness import system_of
from eval.runs import FoundRun, find_runs
from eval.tables import markdown, print_table
from eval.tracked import tell

STAGES = ("detector", "onestage", "upscaler", "scorer", "reranker")
BUDGET_S = 5400.0  # 90 minutes for the whole test set
FINALS_LIMIT_S = 30.0  # a case that takes longer earns nothing for speed


@dataclass
class SpeedConfig(RunConfig):
    """Settings of `eval.speed`."""

    runs: list[str] = field(default_factory=list)  # folders of pipeline.export runs, or folders of such folders
    num_images: int | None = None  # images of the set whose time is scored; null: as many as each run saw
    budget_s: float = BUDGET_S  # seconds for the whole set at which the speed score is 0
    accuracy_weight: float = 0.9  # of the accuracy in the total
    speed_weight: float = 0.1  # of the speed score in the total
    png: bool = True  # write accuracy against time as PNG files, over all stages and for each
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


def speed_score(elapsed_s: float, budget_s: float = BUDGET_S) -> float:
    """1 - t / budget, never below 0; the log's 81 speed scores are this to the last digit."""
    return max(0.0, 1.0 - elapsed_s / budget_s)


def total(accuracy: float, speed: float, accuracy_weight: float = 0.9, speed_weight: float = 0.1) -> float:
    """The qualifiers' total of accuracy and speed score."""
    return accuracy_weight * accuracy + speed_weight * speed


def finals_total(
    language: float, vision: float, elapsed_s: float, weights: tuple[float, float, float] = (0.45, 0.45, 0.1)
) -> float:
    """The finals' total of one case: language and vision scores, and 1 - min(30, t) / 30 for the time."""
    perf = 1.0 - min(FINALS_LIMIT_S, elapsed_s) / FINALS_LIMIT_S
    return weights[0] * language + weights[1] * vision + weights[2] * perf


def time_per_image(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Milliseconds an image by stage, warm-up apart, from a pipeline.export run's `stages`; `all` is their sum.

    Empty when the run was too short to have anything but its warm-up.
    """
    detector = stages.get("onestage") or stages.get("detector")
    images = (detector["count"] - detector["warmup_count"]) if detector else 0
    if images <= 0:
        return {}
    times = {
        n: 1000 * (s["total_s"] - s["warmup_s"]) / images for n, s in stages.items() if s.get("total_s") is not None
    }
    return {**times, "all": sum(times.values())}


def systems_of(runs: Sequence[FoundRun]) -> list[dict[str, Any]]:
    """Every export that has an accuracy: its milliseconds an image by stage, and whether no other beats it."""
    rows = []
    for run in runs:
        times = time_per_image(run.metrics.get("stages", {}))
        if run.command == "pipeline.export" and run.metrics.get("accuracy") is not None and times:
            about = {"folder": run.path.name, "system": system_of(run), "images": run.metrics.get("num_images")}
            rows.append({**about, "accuracy": run.metrics["accuracy"], **times})
    best = pareto([(row["all"], row["accuracy"]) for row in rows])
    return [{**row, "unbeaten": unbeaten} for row, unbeaten in zip(rows, best, strict=True)]


def score_systems(runs: Sequence[FoundRun], config: SpeedConfig) -> list[dict[str, Any]]:
    """The systems with the seconds their set takes, speed score and total, best total first."""
    rows = []
    for row in systems_of(runs):
        elapsed_s = row["all"] / 1000 * (config.num_images or row["images"] or 0)
        speed = speed_score(elapsed_s, config.budget_s)
        worth = total(row["accuracy"], speed, config.accuracy_weight, config.speed_weight)
        rows.append({**row, "elapsed_s": elapsed_s, "speed": speed, "total": worth})
    return sorted(rows, key=lambda row: -float(row["total"]))


def run(config: SpeedConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `speed.md`, `speed.json` and accuracy against time."""
    if not config.runs:
        raise InputError("runs: must name folders of pipeline.export runs")
    if config.budget_s <= 0 or (config.num_images is not None and config.num_images < 1):
        raise InputError(f"budget_s, num_images: {config.budget_s} and {config.num_images} must be above 0")
    found = find_runs(config.runs[0], config.runs[1:])
    rows = score_systems(found, config)
    if not rows:
        raise InputError(f"runs: none of {', '.join(config.runs)} holds an export with an accuracy and more than one "
                         "batch, of which the first is warm-up")  # fmt: skip
    for export in found:
        folder.add_parent(export.path)
    times = [stage for stage in STAGES if any(stage in row for row in rows)]
    columns = ["system", "accuracy", *times, "all", "elapsed_s", "speed", "total", "unbeaten"]
    print_table(rows, columns)
    write_text(folder.path / "speed.md", markdown(rows, columns))
    write_json(folder.path / "speed.json", rows)
    drawn = []
    if config.png:
        from eval.charts.pareto import pareto_charts
        from eval.charts.png import save_png

        for chart in [c for stage in ("all", *times) for c in pareto_charts(rows, stage)]:
            drawn.append(folder.path / f"{chart.key}.png")
            save_png(chart, drawn[-1])
    metrics = {"num_systems": len(rows), "best_total": rows[0]["total"], "best_system": rows[0]["system"]}
    tell(config.tracking, folder, metrics, {"systems": rows}, drawn)
    return metrics


def main(argv: list[str] | None = None) -> None:
    """Run the command `eval.speed`."""
    from grounder.command import run_command

    run_command("eval.speed", SpeedConfig, run, argv)


if __name__ == "__main__":
    main()
