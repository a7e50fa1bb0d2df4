"""The console script: `grounder` lists the commands, `grounder <room>.<verb> key=value ...` runs one."""

import importlib
import importlib.metadata
import os
import sys

from core.errors import nearest
from grounder.commands import ALIASES, COMMANDS, help_line


def main() -> None:
    """Dispatch to a command's own `main`; exit status 2 for an unknown one."""
    words = sys.argv[1:]
    if "--version" in words[:2]:
        print(f"grounder {importlib.metadata.version('grounder')}")
        return
    if not words or words[0] in {"-h", "--help", "help"}:
        show(listing())
        return
    name = ALIASES.get(words[0], words[0])
    if name not in COMMANDS:
        close = nearest(words[0], [*COMMANDS, *ALIASES])
        hint = f"; did you mean {close}?" if close is not None else ""
        print(f"grounder: unknown command '{words[0]}'{hint} ('grounder' alone lists them)", file=sys.stderr)
        raise SystemExit(2)
    importlib.import_module(name).main(words[1:])


def show(text: str) -> None:
    """Print to a reader that may have seen enough (head, less)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def listing() -> str:
    """The commands with one line each."""
    width = max(map(len, COMMANDS))
    lines = ["usage: grounder COMMAND key=value ...      (COMMAND --help lists its settings)", ""]
    lines += [f"  {name:<{width}}  {help_line(name)}" for name in COMMANDS]
    lines += [f"  {'locate':<{width}}  grounder locate IMAGE CAPTION detector=X scorer=Y: pipeline.locate"]
    return "\n".join(lines)
