"""Bring the figures of README and handbook to those in docs/results/, where their commands wrote them.

    python scripts/figures.py                     # rewrite every marked figure
    python scripts/figures.py demo=runs/demo      # take over a demo's figures and its drawn answer first

A figure is marked by a comment that readers do not see: `<!--demo.accuracy-->0.774` is `figures.accuracy` of
docs/results/demo.json, with as many decimals as the page shows; `<!--100*demo.accuracy-->77.4 %` is a hundred times it.
A date or a commit is marked alike, and is cut to the length that the page shows.
`<!--rows choosing.table-->` before a table says that the last numbers of each of its rows are that list's.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from words import read_words, refuse  # beside this script

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
NUMBER = r"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?"
MARK = re.compile(r"<!--(?:(\d+)\*)?([a-z]\w*(?:\.[\w-]+)+)-->([\w.,+-]*\w)")
ROWS = re.compile(r"<!--rows ([\w.-]+)-->\n\n?((?:\|.*\n)+)")


def main() -> None:
    """Take over a demo if one is named, then rewrite the pages."""
    words = read_words("figures", __doc__, ("demo",), sys.argv[1:])
    if "demo" in words:
        take_over(Path(words["demo"]))
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        new = rewritten(text)
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(f"figures: {path.relative_to(ROOT)} is new")


def take_over(run: Path) -> None:
    """Copy a demo's figures, and draw the answer that the README shows, by its own command."""
    from PIL import Image

    from pipeline.locate import main as locate

    record = run / "chain.json"
    if not record.is_file():
        refuse("figures", f"demo: {record}: no such file; `make demo` writes it")
    shutil.copy(record, RESULTS / "demo.json")
    image, caption = shown(run)
    locate([f"{run}/scenes/images/{image}", caption, f"pipeline={run}/export", f"run_dir={run}/located"])
    drawn = Image.open(run / "located" / "located.png").convert("RGB")
    drawn.quantize(256, dither=Image.Dither.NONE).save(ROOT / "docs" / "located.png", optimize=True)


def shown(run: Path) -> tuple[str, str]:
    """The first held-out scene with five captions or more, all answered rightly, and its first caption."""
    lines = [json.loads(line) for line in (run / "grounding" / "outcomes.jsonl").read_text().splitlines()]
    images: dict[str, list[dict[str, Any]]] = {}
    for row in lines:
        images.setdefault(row["image"], []).append(row)
    rows = next(rows for rows in images.values() if len(rows) >= 5 and all(row["hit"] for row in rows))
    return rows[0]["image"], rows[0]["caption"]


def rewritten(text: str) -> str:
    """The page with every marked figure as docs/results/ has it."""
    for place, _, wanted in reversed(list(figures(text))):
        text = text[: place.start] + wanted + text[place.stop :]
    return text


def figures(text: str) -> Iterator[tuple[slice, str, str]]:
    """Every marked figure of a page, in order: where its digits stand, its name, and what they have to be."""
    found = []
    for mark in MARK.finditer(text):
        factor, name, like = mark.groups()
        value = value_of(name)
        wanted = value[: len(like)] if isinstance(value, str) else formatted(float(factor or 1) * value, like)
        found.append((slice(*mark.span(3)), name, wanted))
    for table in ROWS.finditer(text):
        found += _table(table)
    yield from sorted(found, key=lambda entry: entry[0].start)


def _table(table: re.Match[str]) -> Iterator[tuple[slice, str, str]]:
    """The figures of a marked table: the last numbers of each row are those of the list's entry."""
    rows, start = value_of(table[1]), table.start(2)
    lines = table[2].splitlines(keepends=True)
    start += len(lines[0]) + len(lines[1])
    if len(rows) != len(lines) - 2:
        raise ValueError(f"{table[1]}: {len(rows)} rows for a table of {len(lines) - 2}")
    for row, line in zip(rows, lines[2:], strict=True):
        numbers = list(re.finditer(NUMBER, line))[-len(row) :]
        if len(numbers) != len(row):
            raise ValueError(f"{table[1]}: {len(row)} figures for the row {line.strip()}")
        for value, number in zip(row, numbers, strict=True):
            yield slice(start + number.start(), start + number.end()), table[1], formatted(value, number[0])
        start += len(line)


def formatted(value: float, like: str) -> str:
    """The value with the decimals, sign and thousands of what stands there now."""
    decimals = len(like.partition(".")[2])
    return f"{value:{'+' if like[0] == '+' else ''}{',' if ',' in like else ''}.{decimals}f}"


def value_of(name: str) -> Any:
    """What `FILE.path` is: of the file's `figures`, or of what stands beside them; parts are keys or places."""
    file, *path = name.split(".")
    value: Any = json.loads((RESULTS / f"{file}.json").read_text(encoding="utf-8"))
    value = value | value.get("figures", {})
    for part in path:
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


if __name__ == "__main__":
    main()
