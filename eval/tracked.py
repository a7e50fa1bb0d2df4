"""Tell Weights & Biases what an evaluation found: numbers, tables, images and files, linked to the runs it judged.

Every command tells under its own verb (`grounding/accuracy`, `sweep/points`, ...), which is what the dashboard and the
sweep files ask for.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.files import read_json
from core.images import read_image
from core.runs import RunFolder
from core.tracking import TrackingConfig, start_tracker

# what a run leaves for others, by its command: the ending of the artifact's name after the run's id, and its type
ARTIFACTS = {
    "siglip.train": ("last", "scorer"),
    "detector.train": ("weights", "detector"),
    "pipeline.export": ("answers", "answers"),
    "eval.sweep": ("points", "evaluation"),
    "eval.report": ("report", "report"),
}


def artifact_name(run_id: str, command: str) -> str:
    """The name of what a run of a command leaves."""
    return f"{run_id}-{ARTIFACTS[command][0]}"


def tell(
    config: TrackingConfig,
    folder: RunFolder,
    metrics: Mapping[str, Any],
    tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    images: Sequence[Path] = (),
    page: Path | None = None,
    files: Sequence[Path] = (),
) -> None:
    """Track one finished evaluation.

    metrics: its plain numbers are logged, all of it but what is a table is the summary. tables: rows by name, each row
    a mapping with the first row's keys. images: PNG files. page: a self-contained HTML file. files: kept as the
    command's artifact. The runs whose folders this one read are its parents: online their artifacts are marked as used,
    and the settings name them in either case.
    """
    verb = folder.command.partition(".")[2]
    tracker = start_tracker(config, folder, folder.command, _settings(folder))
    for run in judged_runs(folder.parents):
        tracker.use_artifact(artifact_name(run["id"], run["command"]), ARTIFACTS[run["command"]][1])
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    tracker.log({f"{verb}/{name}": value for name, value in numbers.items()})
    for name, rows in (tables or {}).items():
        if rows:
            columns = list(rows[0])
            tracker.log_table(f"{verb}/{name}", columns, [[_cell(row.get(c)) for c in columns] for row in rows])
    for path in images:
        tracker.log_images(f"{verb}/{path.stem}", [read_image(path)])
    if page is not None:
        tracker.log_html(f"{verb}/page", page)
    if files:
        tracker.log_artifact(files, artifact_name(folder.id, folder.command), ARTIFACTS[folder.command][1])
    # a table's name is the table's: what stood there as one more number would take its place on every dashboard
    tracker.summary({f"{verb}/{name}": value for name, value in metrics.items() if name not in (tables or {})})
    tracker.finish()


def judged_runs(parents: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The parents that leave an artifact; one that leaves none, such as a conversion, stands for its own parents."""
    found: list[Mapping[str, str]] = []
    for parent in parents:
        record = Path(parent["path"]) / "run.json"
        if parent["command"] in ARTIFACTS:
            found.append(parent)
        elif record.is_file():
            found += judged_runs(read_json(record).get("parents", []))
    return [run for place, run in enumerate(found) if run not in found[:place]]


def _settings(folder: RunFolder) -> dict[str, Any]:
    from omegaconf import OmegaConf

    path = folder.path / "config.yaml"
    settings = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}
    return {**(settings if isinstance(settings, dict) else {}), "parents": folder.parents}


def _cell(value: Any) -> Any:
    """What a table of W&B can hold: numbers, texts and nothing; everything else as text."""
    return value if isinstance(value, int | float | str) or value is None else str(value)
