"""Accuracy against noise: every exported system over graded copies of one set, as a table and curves."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import read_json, read_jsonl, sha256_bytes, write_json, write_text
from core.runs import RunConfig, RunFolder
from core.tracking import TrackingConfig
from eval.charts.kinds import Line, LineChart
from eval.runs import FoundRun, find_runs
from eval.tables import markdown, print_table
from eval.tracked import tell

CLEAN = "clean"


@dataclass
class RobustnessConfig(RunConfig):
    """Settings of `eval.robustness`."""

    runs: list[str] = field(default_factory=list)  # folders of pipeline.export runs over data.noise copies of one set
    png: bool = True  # write the curves as PNG files too
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


@dataclass(frozen=True)
class Graded:
    """One system on one grade of noise."""

    system: str
    kind: str
    level: float
    grade: str
    accuracy: float
    ci95: tuple[float, float]
    asked: str  # digest of the images and captions that were asked
    folder: str


def read_graded(run: FoundRun) -> Graded:
    """A pipeline.export run with its grade, which `noise.json` beside its images tells; none means clean.

    Raises InputError when the run has no accuracy (its annotations held no boxes).
    """
    if run.metrics.get("accuracy") is None:
        raise InputError(f"{run.path}: has no accuracy; it was killed, or no caption of its annotations has one box")
    mark = Path(str(run.setting("images"))).parent / "noise.json"
    noise: dict[str, Any] = read_json(mark) if mark.is_file() else {"grade": CLEAN, "kind": CLEAN, "level": 0}
    low, high = run.metrics["ci95"]
    return Graded(
        system=system_of(run),
        kind=str(noise["kind"]),
        level=float(noise["level"] or 0),
        grade=str(noise["grade"]),
        accuracy=float(run.metrics["accuracy"]),
        ci95=(low, high),
        asked=_asked(run.path / "predictions.jsonl"),
        folder=str(run.path),
    )


def system_of(run: FoundRun) -> str:
    """A short name of what was run: detector or one-stage model, upscaler and scorer, re-ranker, and the cuts."""
    parts = []
    for stage in ("detector", "onestage", "upscaler", "scorer", "reranker"):
        settings = run.setting(stage) or {}
        weights = settings.get("model") or settings.get("weights")  # of a server the model counts, not its address
        if weights:
            path = Path(str(weights))
            parts.append("/".join(path.parts[-3:]) if path.suffix in {".pt", ".onnx"} else path.name)
    cuts = ", ".join(f"{name} {run.setting(name)}" for name in ("confidence", "nms_iou", "max_det"))
    return f"{' + '.join(parts) or 'system'} ({cuts})"


def _asked(path: Path) -> str:
    pairs = [f"{value['image']}\t{a['caption']}" for _, value in read_jsonl(path) for a in value["annotations"]]
    return sha256_bytes("\n".join(sorted(pairs)).encode())


def require_one_set(graded: Sequence[Graded]) -> None:
    """Raise InputError unless all runs were asked the same, and no system was run twice on one grade."""
    for other in graded[1:]:
        if other.asked != graded[0].asked:
            raise InputError(f"{other.folder}: was asked other images or captions than {graded[0].folder}; only "
                             "copies of one set can be compared")  # fmt: skip
    seen: dict[tuple[str, str], str] = {}
    for run in graded:
        if (run.system, run.grade) in seen:
            raise InputError(f"{run.folder}: {run.system} on {run.grade} is already in {seen[run.system, run.grade]}")
        seen[run.system, run.grade] = run.folder


def table_of(graded: Sequence[Graded]) -> list[dict[str, Any]]:
    """One row a system and grade: accuracy, interval, and what was lost against the clean images."""
    clean = {run.system: run.accuracy for run in graded if run.kind == CLEAN}
    rows = []
    for run in sorted(graded, key=lambda g: (g.system, g.kind != CLEAN, g.kind, g.level)):
        lost = clean[run.system] - run.accuracy if run.system in clean else None
        rows.append({"system": run.system, "grade": run.grade, "accuracy": run.accuracy, "ci95_low": run.ci95[0],
                     "ci95_high": run.ci95[1], "lost": lost})  # fmt: skip
    return rows


def charts_of(graded: Sequence[Graded]) -> list[LineChart]:
    """A chart for each kind of noise with two levels or more (the clean images count as level 0)."""
    charts = []
    for kind in sorted({run.kind for run in graded} - {CLEAN}):
        lines = []
        for system in dict.fromkeys(run.system for run in graded):
            mine = sorted(
                (r for r in graded if r.system == system and r.kind in {kind, CLEAN}), key=lambda r: _rank(r, kind)
            )
            if len(mine) > 1:
                lines.append(Line(system, [_rank(r, kind) for r in mine], [r.accuracy for r in mine]))
        if lines:
            label = "100 - quality" if kind == "jpeg" else "level"
            charts.append(LineChart(f"robustness-{kind}", f"Accuracy against {kind} noise", label, "accuracy", lines,
                                    y_range=(0, 1.02)))  # fmt: skip
    return charts


def _rank(run: Graded, kind: str) -> float:
    """How bad a grade is, for the x axis: JPEG's quality falls as the others' levels rise."""
    if run.kind == CLEAN:
        return 0.0
    return 100 - run.level if kind == "jpeg" else run.level


def run(config: RobustnessConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `robustness.md`, `robustness.json` and a curve for each kind of noise."""
    if not config.runs:
        raise InputError("runs: must name folders of pipeline.export runs")
    exports = [r for r in find_runs(config.runs[0], config.runs[1:]) if r.command == "pipeline.export"]
    if not exports:
        raise InputError(f"runs: none of {', '.join(config.runs)} holds a pipeline.export run")
    graded = [read_graded(export) for export in exports]
    require_one_set(graded)
    for export in exports:
        folder.add_parent(export.path)
    rows, charts = table_of(graded), charts_of(graded)
    columns = ["system", "grade", "accuracy", "ci95_low", "ci95_high", "lost"]
    print_table(rows, columns)
    write_text(folder.path / "robustness.md", markdown(rows, columns))
    write_json(folder.path / "robustness.json", rows)
    drawn = [folder.path / f"{chart.key}.png" for chart in charts] if config.png else []
    if drawn:
        from eval.charts.png import save_png

        for chart, path in zip(charts, drawn, strict=True):
            save_png(chart, path)
    worst = min(rows, key=lambda row: row["accuracy"])
    metrics = {"num_runs": len(graded), "worst_grade": worst["grade"], "worst_accuracy": worst["accuracy"]}
    tell(config.tracking, folder, metrics, {"grades": rows}, drawn)
    return metrics


def main(argv: list[str] | None = None) -> None:
    """Run the command `eval.robustness`."""
    from grounder.command import run_command

    run_command("eval.robustness", RobustnessConfig, run, argv)


if __name__ == "__main__":
    main()
