"""Accuracy against time: the systems that no other beats in both."""

from collections.abc import Mapping, Sequence
from typing import Any

from eval.charts.kinds import Chart, Line, LineChart


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which (cost, merit) points no other point beats: none is at most as costly and at least as good, and better in
    one of the two."""
    return [not any(c <= cost and m >= merit and (c, m) != (cost, merit) for c, m in points) for cost, merit in points]


def pareto_charts(systems: Sequence[Mapping[str, Any]], stage: str = "all") -> list[Chart]:
    """Accuracy against the time an image takes in a stage, or in all of them: a mark for each system, and a line
    through those that no other beats."""
    timed = [row for row in systems if row.get(stage) is not None]
    if len(timed) < 2:
        return []
    points = [(float(row[stage]), float(row["accuracy"])) for row in timed]
    front = sorted(point for point, unbeaten in zip(points, pareto(points), strict=True) if unbeaten)
    marks = [(*point, str(row["folder"])) for point, row in zip(points, timed, strict=True)]
    line = Line("unbeaten", [x for x, _ in front], [y for _, y in front])
    reach = (0.0, max(x for x, _ in points) * 1.05)  # the axis begins at no time at all
    note = "The line joins the systems that no other beats."
    key, what = ("pareto", "all stages") if stage == "all" else (f"pareto-{stage}", f"{stage} only")
    title = "Accuracy against time" + ("" if stage == "all" else f": {stage}")
    label = f"ms an image, {what}, warm"
    return [LineChart(key, title, label, "accuracy", [line], marks, (0, 1.02), note, reach)]
