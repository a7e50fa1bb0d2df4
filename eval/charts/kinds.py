"""Charts as plain data, so that the page, the PNG files and the Markdown show the same numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Line:
    """One curve of a chart."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    links: Sequence[str | None] = ()  # of the points, where they lead somewhere in a page


@dataclass(frozen=True)
class LineChart:
    """Curves over a common x; `marks` are (x, y, text) points worth naming."""

    key: str
    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    marks: Sequence[tuple[float, float, str]] = ()
    y_range: tuple[float, float] | None = None
    note: str = ""
    x_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class HeatMap:
    """A table of numbers as colours; `values[row][column]`, None where there is none."""

    key: str
    title: str
    x_label: str
    y_label: str
    columns: Sequence[str]
    rows: Sequence[str]
    values: Sequence[Sequence[float | None]]
    note: str = ""
    links: Sequence[Sequence[str | None]] = ()  # of the cells, where they lead somewhere in a page


@dataclass(frozen=True)
class Bars:
    """Shares 0..1 side by side, each with a second, fainter one behind it (such as a ceiling) and a count."""

    key: str
    title: str
    labels: Sequence[str]
    values: Sequence[float]
    behind: Sequence[float] = ()
    counts: Sequence[int] = ()
    note: str = field(default="")
    links: Sequence[str | None] = ()  # of the bars, where they lead somewhere in a page
    counts_are_parts: bool = False  # a count is what its bar shows, not what the share is of


Chart = LineChart | HeatMap | Bars


def span(values: Sequence[float], room: float = 0.06) -> tuple[float, float]:
    """A range that holds the values with a little room; 0..1 for none."""
    finite = [v for v in values if v == v and abs(v) != float("inf")]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    margin = (high - low) * room
    if high == low:
        margin = abs(high) * max(room, 0.05) or 1.0
    return low - margin, high + margin


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within a range, `about` of them."""
    raw = (high - low) / about
    power = 10.0 ** _floor_log10(raw)
    step = next((m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999), 10 * power)
    first = int(-(-low // step))
    return [round(n * step, 10) for n in range(first, first + 2 * about + 4) if n * step <= high + step * 1e-9]


def _floor_log10(value: float) -> int:
    import math

    return math.floor(math.log10(value)) if value > 0 else 0
