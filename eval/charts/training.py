"""Losses and validation figures of trainings, from their histories: for the report and for a running one's page."""

from collections.abc import Mapping, Sequence
from typing import Any

from eval.charts.kinds import Chart, Line, LineChart
from eval.figures import DETECTOR_LOSSES, DETECTOR_VALIDATION, SCORER_LOSS, SCORER_VALIDATION
from eval.runs import FoundRun

SHARE = (0.0, 1.02)  # the range of an axis of shares, with room for the line at 1
LOSS = "train/"  # what a detector's losses begin with


def training_charts(runs: Sequence[FoundRun]) -> list[Chart]:
    """Losses and validation figures of every training run that kept a history."""
    charts: list[Chart] = []
    for run in runs:
        history = run.history()
        if run.command == "detector.train":
            epochs = [entry for entry in history if "epoch" in entry]
            epochs = [{**entry, "step": place} for place, entry in enumerate(epochs, start=1)]  # stages in one row
            charts += _curves(run, "Detector: losses", "epoch", epochs, _losses(epochs))
            judged = [entry for entry in epochs if entry.get("val/box_loss") != 0]  # 0: this epoch was not validated
            charts += _curves(run, "Detector: validation", "epoch", judged, _as_they_are(DETECTOR_VALIDATION), SHARE)
        elif run.command == "siglip.train":
            charts += _curves(run, "Scorer: loss", "step", *_of_steps_and_epochs(history))
            charts += _curves(run, "Scorer: validation", "step", history, SCORER_VALIDATION, SHARE)
    return charts


def _of_steps_and_epochs(history: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The log with an epoch's mean loss under a name of its own, and the names of both curves."""
    means = {name: f"mean_{name}" for name in SCORER_LOSS}
    told = [{means.get(name, name) if "epoch" in entry else name: value for name, value in entry.items()}
            for entry in history]  # fmt: skip
    return told, {name: "a step" for name in SCORER_LOSS} | {name: "mean of the epoch" for name in means.values()}


def _losses(epochs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The losses that the detector has, whatever its family, by the names that a legend gives them."""
    found = dict.fromkeys(name for entry in epochs for name in entry if name.startswith(LOSS))
    return {name: DETECTOR_LOSSES.get(name, name.removeprefix(LOSS)) for name in found}


def _as_they_are(names: Sequence[str]) -> dict[str, str]:
    return {name: name for name in names}


def _curves(
    run: FoundRun,
    title: str,
    x_label: str,
    entries: Sequence[Mapping[str, Any]],
    wanted: Mapping[str, str],
    y_range: tuple[float, float] | None = None,
) -> list[Chart]:
    """A chart of the wanted figures, by the names that a line's legend gives them; none where none was kept."""
    lines = []
    for name, title_of_line in wanted.items():
        kept = [(entry.get("step") or place, entry[name]) for place, entry in enumerate(entries, start=1)
                if isinstance(entry.get(name), int | float)]  # fmt: skip
        if len(kept) > 1 and any(value for _, value in kept):
            lines.append(Line(title_of_line, [float(x) for x, _ in kept], [float(y) for _, y in kept]))
    if not lines:
        return []
    whole = f"{title} ({run.path.name})"
    key = "training-" + "".join(c if c.isalnum() else "-" for c in whole.lower())
    return [LineChart(key, whole, x_label, "", lines, y_range=y_range)]
