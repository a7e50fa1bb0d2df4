"""Which kind was asked for and which kind was answered, as counts that lead to their captions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.attribution import BACKGROUND, NOTHING, Case, kind_of
from eval.report.links import link

MOST_KINDS = 14


@dataclass
class Matrix:
    """Rows of kinds asked by columns of kinds answered; each cell a count, its share of the row, and its address."""

    answered: list[str] = field(default_factory=list)
    rows: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)
    left_out: int = 0  # kinds too rare to be shown


def kind_of_answer(case: Case) -> str:
    """The kind of what an answer shows, or that it shows no described target, or that there is none."""
    return case.taken if case.taken in {BACKGROUND, NOTHING} else kind_of(case.taken)


def matrix_of(cases: Sequence[Case]) -> Matrix:
    """The counts of the most frequent kinds; nothing where there is one kind alone."""
    asked = Counter(kind_of(c.outcome.caption) for c in cases)
    kinds = [kind for kind, _ in asked.most_common(MOST_KINDS)]
    if len(kinds) < 2:
        return Matrix()
    pairs = Counter((kind_of(c.outcome.caption), kind_of_answer(c)) for c in cases)
    others = sorted({a for _, a in pairs} - set(kinds) - {BACKGROUND, NOTHING})
    answered = [*kinds, *others[: MOST_KINDS - len(kinds)], BACKGROUND, NOTHING]
    answered = [a for a in answered if any(pairs[k, a] for k in kinds)]
    rows = [
        (kind, [{"count": pairs[kind, a], "share": pairs[kind, a] / asked[kind], "same": a == kind,
                 "link": link(kind=kind, answered=a)} for a in answered])
        for kind in kinds
    ]  # fmt: skip
    return Matrix(answered, rows, len(asked) - len(kinds))
