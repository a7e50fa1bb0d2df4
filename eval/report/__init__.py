"""Write one self-contained page about a set of runs: accuracy beside chance and ceiling, curves, sweeps, failures."""

from typing import Any

from core.files import write_json, write_text
from core.runs import RunFolder
from eval.report.settings import ReportConfig


def run(config: ReportConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `report.html`, `report.md`, `report.json` and `charts/*.png`, all from the same contents."""
    from eval.answers.measures import FIGURES
    from eval.report.contents import Limits, gather
    from eval.report.page import page, plain_text, summary

    runs = [r for r in _runs(config) if r.path.resolve() != folder.path.resolve()]
    for found in runs:
        folder.add_parent(found.path)
    title = config.title or _title(config.run)
    contents = gather(runs, title, config.images, config.truth, Limits(config.thumbnails, config.crops), folder.path)
    if config.png:
        from eval.charts.png import save_png

        (folder.path / "charts").mkdir(exist_ok=True)
        for chart in contents.all_charts():
            save_png(chart, folder.path / "charts" / f"{chart.key}.png")
    write_text(folder.path / "report.md", plain_text(contents, config.png))
    write_json(folder.path / "report.json", summary(contents))
    write_text(folder.path / "report.html", page(contents))
    known: dict[str, Any] = contents.metrics | contents.stages
    names: list[str] = ["num_captions", *FIGURES, "chance", "ceiling", "scorer_given_target"]
    figures: dict[str, Any] = {name: known[name] for name in names if known.get(name) is not None}
    metrics = {**figures, "num_runs": len(runs), "num_failures": contents.stages.get("num_errors", 0)}
    _track(config, folder, contents, metrics)
    return metrics


def _track(config: ReportConfig, folder: RunFolder, contents: Any, metrics: dict[str, Any]) -> None:
    """Send the page, the numbers, the tables and the charts."""
    from eval.tracked import tell

    detection = {f"detection/{name}": contents.detection.get(name) for name in ("AP", "AP50", "f1", "best_f1")}
    numbers = {**metrics, **{name: value for name, value in detection.items() if value is not None}}
    tables = {"sweep": contents.sweep, **{f"by {by}": rows for by, rows in contents.breakdowns.items()}}
    charts = sorted((folder.path / "charts").glob("*.png")) if config.png else []
    page = folder.path / "report.html"
    tell(config.tracking, folder, numbers, tables, charts, page, [page])


def _runs(config: ReportConfig) -> list[Any]:
    from eval.runs import find_runs

    return find_runs(config.run, config.runs)


def _title(path: str) -> str:
    from pathlib import Path

    return Path(path).resolve().name


def main(argv: list[str] | None = None) -> None:
    """Run the command `eval.report`."""
    from grounder.command import run_command

    run_command("eval.report", ReportConfig, run, argv)
