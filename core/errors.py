"""The one error that means "the input is wrong", as opposed to "this program is wrong"."""

from collections.abc import Iterable, Sequence

from core.texts import on_terminal


class InputError(ValueError):
    """Wrong use or bad input, told in one line that names the file and the field.

    The command line prints the message without a traceback and exits with status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(on_terminal(" ".join(message.split())))


class RefusedChangeError(InputError):
    """Settings other than those that a run was begun with; its folder keeps the record it had."""


def reason(error: BaseException, line: int = 0) -> str:
    """One line, by default the first, of what another library's error says; its kind's name when it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[line] if lines else type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Of the known words the one nearest to `word`; None when all are further than two letters or a third of it.

    Two letters of a word of four are no slip any more: half of the longer word is too far in any case.
    """
    best: tuple[int, str] | None = None
    for name in known:
        away, longer = _letters_away(word, name), max(len(word), len(name))
        if away <= max(2, len(word) // 3) and 2 * away < longer and (best is None or away < best[0]):
            best = away, name
    return None if best is None else best[1]


def _letters_away(one: str, other: str) -> int:
    """How many letters must be changed, added, left out or exchanged with their neighbour (optimal alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        earlier, before, row = before, row, [i]
        for j, theirs in enumerate(other, start=1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != theirs)))
            if i > 1 and j > 1 and (letter, one[i - 2]) == (other[j - 2], theirs):
                row[j] = min(row[j], earlier[j - 2] + 1)
    return row[-1]


def check_shares(settings: object, names: Sequence[str], prefix: str = "") -> None:
    """InputError for the first named setting that is not within 0..1, or whose list holds such a value; None passes.

    prefix: what stands before the names on the command line, such as `fusion.`.
    """
    for name in names:
        given = getattr(settings, name)
        for value in given if isinstance(given, list) else [given]:
            if value is not None and not (_is_number(value) and 0 <= value <= 1):
                raise InputError(f"{prefix}{name}: {value} is not within 0..1")


def _is_number(value: object) -> bool:
    """Whether a setting of a list of anything, as a command line gives it, is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_limits(values: Sequence[int | None], name: str) -> None:
    """InputError for a number of boxes below 1; None is no limit."""
    for value in values:
        if value is not None and value < 1:
            raise InputError(f"{name}: {value} must be 1 or more")
