"""The same charts as PNG files, by matplotlib, for slides and documents."""

from pathlib import Path
from typing import Any

from core.files import open_atomic
from eval.charts.kinds import Bars, Chart, HeatMap, LineChart

COLOURS = ("#1f5f8b", "#c2571a", "#2f7d4f", "#7a4a9e", "#a33a4e", "#5b6570")


def save_png(chart: Chart, path: Path) -> None:
    """Write the chart to `path` at 150 dots an inch; drawn off screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = 3.6 if not isinstance(chart, Bars) else 0.6 + 0.3 * len(chart.labels)
    figure = Figure(figsize=(6.4, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(chart.title, loc="left", fontsize=11)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    draw = _lines if isinstance(chart, LineChart) else _heat if isinstance(chart, HeatMap) else _bars
    draw(chart, axes)  # type: ignore[arg-type]
    with open_atomic(path) as stream:  # matplotlib's own saving would not say which file a full disk refused
        figure.savefig(stream, format="png", metadata={"Software": None})


def _lines(chart: LineChart, axes: Any) -> None:
    for place, line in enumerate(chart.lines):
        axes.plot(line.x, line.y, color=COLOURS[place % len(COLOURS)], linewidth=1.6, label=line.name)
    for x, y, text in chart.marks:
        axes.plot([x], [y], "o", color="#222222", markersize=5)
        axes.annotate(text, (x, y), xytext=(6, 6), textcoords="offset points", fontsize=8)
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
    if chart.x_range:
        axes.set_xlim(*chart.x_range)
    if chart.y_range:
        axes.set_ylim(*chart.y_range)
    axes.grid(axis="y", color="#e4e4e0")
    if len(chart.lines) > 1:
        axes.legend(frameon=False, fontsize=8)


def _heat(chart: HeatMap, axes: Any) -> None:
    values = [[float("nan") if v is None else v for v in row] for row in chart.values]
    axes.imshow(values, cmap="Blues", aspect="auto")
    known = [v for row in values for v in row if v == v]
    middle = (min(known, default=0) + max(known, default=1)) / 2
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            axes.text(x, y, f"{value:.3f}", ha="center", va="center", fontsize=8,
                      color="white" if value > middle else "black")  # fmt: skip
    axes.set_xticks(range(len(chart.columns)), chart.columns)
    axes.set_yticks(range(len(chart.rows)), chart.rows)
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)


def _bars(chart: Bars, axes: Any) -> None:
    places = range(len(chart.labels))
    if chart.behind:
        axes.barh(places, chart.behind, color="#d3dde4", height=0.6)
    axes.barh(places, chart.values, color=COLOURS[0], height=0.6)
    axes.set_yticks(places, chart.labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
