"""Write docs/layout.md: the tree of the code, one line a file, from the first sentence of each file.

python scripts/layout.py
"""

import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "layout.md"
FIRST = ("core", "grounder", "data", "eval", "detector", "siglip", "upscale", "onestage", "pipeline")
BESIDE = ("notebooks", "scripts", "benchmarks")
FILES = ("*.py", "*.sh", "*.sbatch")
WIDTH, COLUMN = 98, 30
HEAD = """# Layout

Made by `python scripts/layout.py` from the first sentence of each file; the suite fails when they
differ.

A command is a file, or a folder whose `__init__.py` and `__main__.py` start it: the folder's line
says what the command does. A name with a slash is a folder. `tests/` mirrors these folders.
"""


def main() -> None:
    """Write the page."""
    if sys.argv[1:]:
        print(f"layout: {sys.argv[1]}: there are no settings", file=sys.stderr)
        raise SystemExit(2)
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The whole page: a section a room, a line a file."""
    rooms = [name for name in FIRST if (ROOT / name / "__init__.py").is_file()]
    parts = [HEAD]
    for name in (*rooms, *BESIDE):
        lines = "\n".join(tree(ROOT / name, 0))
        parts.append(f"## {name}\n\n```text\n{lines}\n```\n")
    return "\n".join(parts)


def tree(folder: Path, depth: int) -> Iterator[str]:
    """A folder's line, then its files, then its folders."""
    init = folder / "__init__.py"
    yield from line(f"{folder.name}/", sentence(init) if init.is_file() else "", depth)
    files = sorted(path for pattern in FILES for path in folder.glob(pattern) if not path.name.startswith("__"))
    for path in files:
        yield from line(path.name, sentence(path), depth + 1)
    for inner in sorted(path for path in folder.iterdir() if any(path.glob("*.py")) or any(path.glob("*.s[hb]*"))):
        yield from tree(inner, depth + 1)


def line(name: str, purpose: str, depth: int) -> list[str]:
    """One entry: the name, indented, and what it is, in a column of its own."""
    head = "  " * depth + name
    hanging = " " * COLUMN
    if len(head) >= COLUMN:
        return [head, *textwrap.wrap(purpose, WIDTH, initial_indent=hanging, subsequent_indent=hanging)]
    return textwrap.wrap(purpose, WIDTH, initial_indent=head.ljust(COLUMN), subsequent_indent=hanging) or [head]


def sentence(path: Path) -> str:
    """What a file says of itself first: its docstring, its first comment, or a notebook's title."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        said = ast.get_docstring(ast.parse(text))
        if said is None:  # a notebook
            said = re.search(r"^# # (.+)$", text, re.M)[1] + "."  # type: ignore[index]
        return said.partition("\n\n")[0].replace("\n", " ").replace("``", "`")
    return next(row.removeprefix("# ") for row in text.splitlines() if row.startswith("# "))


if __name__ == "__main__":
    main()
