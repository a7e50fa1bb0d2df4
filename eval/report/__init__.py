"""Write one self-contained page about a set of runs: accuracy beside chance and ceiling, curves, sweeps, failures."""

from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import write_json, write_text
from core.runs import RunFolder
from eval.report.settings import ReportConfig


def run(config: ReportConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `report.html`, `report.md`, `report.json` and `charts/*.png`, all from the same contents."""
    from data.sources import settle
    from eval.answers.measures import FIGURES
    from eval.report.contents import Wanted, gather
    from eval.report.page import page, plain_text, summary

    if config.images is not None and not Path(config.images).is_dir():
        raise InputError(f"images: {config.images}: no such folder of images")
    systems = _systems(config, folder)
    for found in {r.path for own in systems.values() for r in own}:
        folder.add_parent(found)
    title = config.title or " and ".join(systems)
    settle(config, folder)
    wanted = Wanted(title, folder.path, config.images, config.truth, config.thumbnails, config.crops)
    contents = gather(systems, wanted)
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
    metrics = {**figures, "num_runs": len(contents.runs), "num_failures": contents.stages.get("num_errors", 0)}
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


def _systems(config: ReportConfig, folder: RunFolder) -> dict[str, Any]:
    """The runs of each system by its name: of `run` and its further folders one, of `runs` alone one each.

    Raises InputError where there is nothing to report on, and for a folder given twice.
    """
    from eval.runs import find_runs

    if config.run is None and not config.runs:
        raise InputError("run: give a run folder, or runs=[A,B] to compare several")
    if config.run is not None:
        found = {_name(config.run): find_runs(config.run, config.runs)}
    else:
        paths = [Path(path).resolve() for path in config.runs]
        twice = next((path for path in paths if paths.count(path) > 1), None)
        if twice is not None:
            raise InputError(f"runs: {twice} is given twice; a run differs from itself in nothing")
        names = [_name(path) for path in config.runs]
        names = [name if names.count(name) == 1 else path for name, path in zip(names, config.runs, strict=True)]
        found = {name: find_runs(path) for name, path in zip(names, config.runs, strict=True)}
    return {name: [r for r in own if r.path.resolve() != folder.path.resolve()] for name, own in found.items()}


def _name(path: str) -> str:
    return Path(path).resolve().name


def main(argv: list[str] | None = None) -> None:
    """Run the command `eval.report`."""
    from grounder.command import run_command

    run_command("eval.report", ReportConfig, run, argv)
