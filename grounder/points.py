"""The table with which a multirun ends: what was varied, and what came of it."""

import re
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import read_json
from core.texts import on_terminal

CLOCK_S = 1.0  # a file system's times may be whole seconds
MOST_METRICS = 6  # columns; the rest stand in each point's metrics.json


def print_points(folder: str, each: str = "*", since: float = 0.0) -> None:
    """Print one line a point of the multirun in `folder`: its number, its own words, its state, its first metrics.

    each: the points' folders below it, with `${...}` for what differs. since: seconds of the epoch; older runs are not
    of this multirun.
    """
    records = Path(folder).glob(re.sub(r"\$\{[^}]*\}", "*", each) + "/run.json")
    found = [path for path in records if path.stat().st_mtime >= since - CLOCK_S]
    points = [point for path in found if (point := _point(path)) is not None]
    if not points:
        return
    shared = set.intersection(*(set(words) for _, words, _, _ in points))
    names = list(dict.fromkeys(name for *_, metrics in points for name in metrics))[:MOST_METRICS]
    rows = [["point", "words", "state", *names]]
    for number, words, state, metrics in sorted(points):
        own = " ".join(on_terminal(word) for word in words if word not in shared)
        rows.append([str(number), own, state, *(_shown(metrics.get(name)) for name in names)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"results in {folder}", flush=True)


def _point(record: Path) -> tuple[int, list[str], str, dict[str, Any]] | None:
    if not record.parent.name.isdecimal():
        return None
    try:
        found = read_json(record)
        metrics = read_json(record.parent / "metrics.json") if (record.parent / "metrics.json").is_file() else {}
    except InputError:
        return None
    numbers = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
    return int(record.parent.name), [str(w) for w in found.get("command_line", [])], str(found.get("state")), numbers


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
