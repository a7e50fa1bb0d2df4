"""Charts as inline SVG or HTML: colours come from the page's style sheet, dark and print modes included."""

from html import escape

from eval.charts.kinds import Bars, Chart, HeatMap, LineChart, span, ticks

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 42


def svg(chart: Chart) -> str:
    """The chart as an element of the page with a title for screen readers."""
    if isinstance(chart, LineChart):
        return _lines(chart)
    if isinstance(chart, HeatMap):
        return _heat(chart)
    return _bars(chart)


def _frame(chart: Chart, width: float, height: float, body: list[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(chart.title)}" '
        f'preserveAspectRatio="xMidYMid meet">{"".join(body)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "middle", style: str = "tick") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def number(value: float) -> str:
    """A tick's text: short, without a tail of zeros."""
    return f"{value:g}" if abs(value) < 10_000 else f"{value / 1000:g}k"


def _linked(body: str, link: str | None, label: str) -> str:
    """An element of an image that leads somewhere, or as it is."""
    return body if link is None else f'<a href="{escape(link)}" aria-label="{escape(label)}">{body}</a>'


def _lines(chart: LineChart) -> str:
    low_x, high_x = chart.x_range or span([v for line in chart.lines for v in line.x], 0)
    low_y, high_y = chart.y_range or span([v for line in chart.lines for v in line.y])
    if high_x == low_x:
        high_x = low_x + 1

    def at_x(value: float) -> float:
        return LEFT + (value - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)

    def at_y(value: float) -> float:
        return TOP + (high_y - value) / (high_y - low_y) * (HEIGHT - TOP - BOTTOM)

    body = []
    for tick in ticks(low_y, high_y):
        body.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at_y(tick):.1f}" y2="{at_y(tick):.1f}"/>'
        )
        body.append(_text(LEFT - 8, at_y(tick) + 4, number(tick), "end"))
    body += [_text(at_x(t), HEIGHT - BOTTOM + 18, number(t)) for t in ticks(low_x, high_x, 6)]
    body.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, chart.x_label, style="label"))
    for place, line in enumerate(chart.lines):
        points = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in zip(line.x, line.y, strict=True) if y == y)
        body.append(f'<polyline class="line s{place % 6}" points="{points}"/>')
        for x, y, link in zip(line.x, line.y, line.links, strict=False):
            label = f"{chart.x_label} {x:.3g}, {chart.y_label or line.name} {y:.3g}"
            dot = f'<circle class="point s{place % 6}" cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3.5"/>'
            body += [_linked(dot, link, label)] if link else []
    for x, y, text in chart.marks:
        side = "end" if at_x(x) > WIDTH * 0.66 else "start"
        body.append(f'<circle class="mark" cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="4"/>')
        body.append(_text(at_x(x) + (-9 if side == "end" else 9), at_y(y) + 18, text, side, "note"))
    return _frame(chart, WIDTH, HEIGHT, body) + _legend([line.name for line in chart.lines if line.name])


def _legend(names: list[str]) -> str:
    if len(names) < 2:
        return ""
    items = "".join(f'<li><i class="key s{n % 6}"></i>{escape(name)}</li>' for n, name in enumerate(names))
    return f'<ul class="legend">{items}</ul>'


def _heat(chart: HeatMap) -> str:
    cell_w, cell_h, left, bottom = 82, 38, 74, 46
    width, height = left + cell_w * len(chart.columns) + 8, 8 + cell_h * len(chart.rows) + bottom
    known = [v for row in chart.values for v in row if v is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    body = []
    for y, row in enumerate(chart.values):
        body.append(_text(left - 10, 8 + cell_h * (y + 0.5) + 4, chart.rows[y], "end"))
        for x, value in enumerate(row):
            share = 0.0 if value is None or high == low else (value - low) / (high - low)
            best = " best" if value is not None and value == high else ""
            at = f'x="{left + cell_w * x + 1.5}" y="{8 + cell_h * y + 1.5}" width="{cell_w - 3}" height="{cell_h - 3}"'
            ink = "cell-text deep" if share > 0.55 else "cell-text"
            shown = "" if value is None else f"{value:.3f}"
            cell = f'<rect class="cell{best}" {at} rx="3" style="--share:{share:.3f}"/>' + _text(
                left + cell_w * (x + 0.5), 8 + cell_h * (y + 0.5) + 4.5, shown, style=ink + best
            )
            link = chart.links[y][x] if chart.links else None
            label = f"{chart.y_label} {chart.rows[y]}, {chart.x_label} {chart.columns[x]}: {shown}"
            body.append(_linked(cell, link, label))
    for x, name in enumerate(chart.columns):
        body.append(_text(left + cell_w * (x + 0.5), height - bottom + 20, name))
    body.append(_text(left + cell_w * len(chart.columns) / 2, height - 6, chart.x_label, style="label"))
    middle = 8 + cell_h * len(chart.rows) / 2
    body.append(f'<text class="label" transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
                f"{escape(chart.y_label)}</text>")  # fmt: skip
    return _frame(chart, width, height, body)


def _bars(chart: Bars) -> str:
    """Rows of HTML rather than SVG: their words must stay readable on a phone."""
    rows = []
    for place, (label, value) in enumerate(zip(chart.labels, chart.values, strict=True)):
        behind = f'<i class="behind" style="width:{100 * chart.behind[place]:.1f}%"></i>' if chart.behind else ""
        of = "" if chart.counts_are_parts else "of "
        count = f" <small>{of}{chart.counts[place]}</small>" if chart.counts else ""
        link = chart.links[place] if chart.links else None
        name = _linked(escape(label), link, f"{label}: {100 * value:.1f} %")
        rows.append(
            f'<li><span>{name}</span><b>{behind}<i class="bar" style="width:{100 * value:.1f}%"></i></b>'
            f"<em>{100 * value:.1f} %{count}</em></li>"
        )
    return f'<ul class="bars links" aria-label="{escape(chart.title)}">{"".join(rows)}</ul>'
