"""Tables in the four shapes people read them in: the terminal, CSV, Markdown, and rows for a page."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.texts import on_terminal

Row = Mapping[str, Any]
_MARKUP = re.compile(r"[\\|`*\[\]]|(?<!\w)_|_(?!\w)")  # an underscore within a word is none


def shown(value: Any, digits: int = 4) -> str:
    """A value as text: numbers to `digits` places, counts whole, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return str(value)


def varying(rows: Sequence[Row], among: Sequence[str]) -> list[str]:
    """The columns of `among` in which the rows differ, or its first when they differ in none."""
    return [c for c in among if len({str(row.get(c)) for row in rows}) > 1] or list(among[:1])


def markdown(rows: Sequence[Row], columns: Sequence[str], digits: int = 4) -> str:
    """A Markdown table; numbers are right-aligned."""
    if not rows:
        return ""
    is_number = [all(isinstance(r.get(c), int | float | None) for r in rows) for c in columns]
    rule = ["---:" if number else "---" for number in is_number]
    body = [[escaped(shown(row.get(c), digits)) for c in columns] for row in rows]
    heads = [escaped(c) for c in columns]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heads, rule, *body]) + "\n"


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, in a cell or a line: no markup, no HTML, no link, no second line."""
    shown_text = (
        on_terminal(" ".join(text.splitlines())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    )
    return _MARKUP.sub(r"\\\g<0>", shown_text)


def comma_separated(rows: Sequence[Row]) -> str:
    """CSV with every column at full precision."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(dict.fromkeys(c for row in rows for c in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def print_table(rows: Sequence[Row], columns: Sequence[str], digits: int = 4) -> None:
    """Print to the terminal by rich, as wide as the terminal allows."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        numeric = all(isinstance(row.get(column), int | float | None) for row in rows)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(on_terminal(shown(row.get(c), digits))) for c in columns))
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)  # a log has no width of its own, and folded numbers are unreadable
    console.print(table)
