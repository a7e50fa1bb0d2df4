"""The `key=value` words of a script's command line: one reader, the same refusals."""

import sys
from collections.abc import Sequence
from typing import NoReturn


def read_words(script: str, usage: str | None, known: Sequence[str], words: Sequence[str]) -> dict[str, str]:
    """The settings given; `--help` prints the usage, and a word that is none of the known ends with status 2."""
    if {"-h", "--help"} & set(words):
        print(usage)
        raise SystemExit(0)
    given = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            refuse(script, f"{word}: not of the form key=value")
        if name not in known:
            last = f"{', '.join(known[:-1])} and {known[-1]} are" if len(known) > 1 else f"{known[0]} is the only one"
            refuse(script, f"{name}: no such setting; {last}")
        given[name] = value
    return given


def refuse(script: str, message: str) -> NoReturn:
    """One line, status 2."""
    print(f"{script}: {message}", file=sys.stderr)
    raise SystemExit(2)
