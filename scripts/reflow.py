"""Wrap the prose of Markdown pages at 100 columns; tables, code, headings and links stay as they are.

python scripts/reflow.py                 # README, CONTRIBUTING, CHANGELOG and docs/
python scripts/reflow.py FILE.md ...
"""

import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 100
KEPT = "\0"  # a space that no line may end at
ITEM = re.compile(r"(\s*(?:[-*+]|\d+[.)]) +)(.*)")
FENCE = re.compile(r"\s*(```|~~~)")
STANDING = re.compile(r"\s*(\||#|<!--rows|!\[|>|\*\[)")  # a table's row, a heading, a marker, an image, a quotation


def pages() -> list[Path]:
    """Every page of the project."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def main() -> None:
    """Wrap the pages named, or all of them."""
    for path in [Path(word) for word in sys.argv[1:]] or pages():
        text = path.read_text(encoding="utf-8")
        new = reflow(text)
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(f"reflow: {path} is new")


def reflow(text: str) -> str:
    """The page with its paragraphs and list items wrapped."""
    lines, out, fenced, block = text.splitlines(), [], False, []
    for line in [*lines, ""]:
        fence = FENCE.match(line) is not None
        starts = ITEM.match(line) is not None and not (not block and line.startswith("    "))
        code = not block and line.startswith("    ") and not _in_list(out)
        if fence or fenced or not line.strip() or STANDING.match(line) or starts or code:
            out += _wrapped(block)
            block = [line] if starts and not fenced and not fence else []
            if not block:
                out.append(line)
            fenced ^= fence
        else:
            block.append(line)
    return "\n".join(out[:-1]) + "\n"


def _in_list(out: list[str]) -> bool:
    """Whether an indented line goes on with a list's item rather than being code."""
    before = next((line for line in reversed(out) if line.strip()), "")
    return ITEM.match(before) is not None


def _wrapped(block: list[str]) -> list[str]:
    """One paragraph or list item in lines of at most the width."""
    if not block:
        return []
    item = ITEM.match(block[0])
    first = item[1] if item else re.match(r"\s*", block[0])[0]  # type: ignore[index]
    words = " ".join([item[2] if item else block[0].strip(), *(line.strip() for line in block[1:])])
    words = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", lambda span: span[0].replace(" ", KEPT), words)
    words = re.sub(r" (?=(?:[-+*>]|\d+[.)]|#+) |<!--)", KEPT, words)  # nor may a line begin like an item or as HTML
    return [line.replace(KEPT, " ") for line in textwrap.wrap(
        words, WIDTH, initial_indent=first, subsequent_indent=" " * len(first),
        break_long_words=False, break_on_hyphens=False)]  # fmt: skip


def too_wide(text: str) -> list[int]:
    """The numbers of lines beyond the width that could be broken: not of tables, code, headings, nor one long word."""
    found, fenced = [], False
    for number, line in enumerate(text.splitlines(), start=1):
        fenced ^= FENCE.match(line) is not None
        if len(line) > WIDTH and not fenced and not STANDING.match(line) and not line.startswith("    "):
            words = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)| (?=<!--)", lambda span: span[0].replace(" ", KEPT), line)
            if " " in words.strip()[: WIDTH - 1].removeprefix("- "):
                found.append(number)
    return found


if __name__ == "__main__":
    main()
