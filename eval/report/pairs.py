"""A run against another over the same captions: what it fixed and broke, by which stage, and of which captions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from eval.answered import AnsweredRun
from eval.answers.outcomes import HIT_IOU
from eval.attribution import Case, colour_of, group_of, kind_of, size_of
from eval.report.links import link
from eval.statistics import holm, paired_difference, verdict

MARGIN = 0.01  # two runs closer than this are as good as equal, as in eval.compare
OUTCOMES = ("both right", "fixed", "broken", "both wrong")
MOST_ROWS = 14


def require_equal_captions(runs: Sequence[AnsweredRun]) -> None:
    """Raise InputError unless all runs answered the same captions with the same targets."""
    first = runs[0]
    asked = [(o.image, o.annotation) for o in first.outcomes]
    for run in runs[1:]:
        if [(o.image, o.annotation) for o in run.outcomes] != asked:
            raise InputError(f"runs: {run.name} answers other captions or targets ({run.truth_path}) than {first.name} "
                             f"({first.truth_path}); only equal truths can be compared; truth=FILE names one "
                             "for all")  # fmt: skip


def compare_pairs(runs: Sequence[AnsweredRun]) -> list[dict[str, Any]]:
    """Each further run against the first: the difference with its intervals and tests, counts, stages and groups."""
    require_equal_captions(runs)
    one = all(len(o.truths_ltwh) == 1 for o in runs[0].outcomes)
    right = [np.asarray([o.hit if one else o.is_exact for o in run.outcomes], bool) for run in runs]
    images = [o.image for o in runs[0].outcomes]
    found = [paired_difference(right[0], b, images) for b in right[1:]]
    adjusted = holm([d.p_value for d in found])
    pairs = []
    for place, (difference, p) in enumerate(zip(found, adjusted, strict=True), start=1):
        outcomes = _outcomes(right[0], right[place])
        pairs.append({
            "a": runs[0].name, "b": runs[place].name, "what": "right" if one else "answered exactly",
            "share_a": float(right[0].mean()), "share_b": float(right[place].mean()),
            "difference": difference.difference, "ci95": list(difference.ci95), "p_value": difference.p_value,
            "p_holm": p, "verdict": verdict(difference, MARGIN, p),
            "counts": {name: {"count": int((outcomes == name).sum()), "link": _link(runs, place, versus=name)}
                       for name in OUTCOMES},
            "stages": _stages(runs, place, right), "groups": _groups(runs, place, right, images),
        })  # fmt: skip
    return pairs


def _link(runs: Sequence[AnsweredRun], place: int, **shown: Any) -> str:
    """The address of captions in the view of a run; the last run's needs no word."""
    return link(**shown) if place == len(runs) - 1 else link(run=place, **shown)


def _outcomes(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.str_]:
    return np.where(a, np.where(b, "both right", "broken"), np.where(b, "fixed", "both wrong"))


def decider(wrong: Case) -> str:
    """Which stage of the run that was wrong the other did better: the detector offered it, or the scorer ranked it."""
    return "detector" if wrong.best_iou <= HIT_IOU and wrong.outcome.truths_ltwh else "scorer"


def _stages(runs: Sequence[AnsweredRun], place: int, right: Sequence[NDArray[np.bool_]]) -> list[dict[str, Any]]:
    """How many captions each stage fixed and broke; nothing where a run's store is not at hand."""
    if not (runs[0].cases and runs[place].cases):
        return []
    outcomes = _outcomes(right[0], right[place])
    rows = []
    for stage in ("detector", "scorer"):
        row: dict[str, Any] = {"stage": stage}
        for name, cases in (("fixed", runs[0].cases), ("broken", runs[place].cases)):
            number = sum(o == name and decider(c) == stage for o, c in zip(outcomes, cases, strict=True))
            row[name] = {"count": number, "link": _link(runs, place, versus=name, decided=stage)}
        rows.append(row)
    return rows


def _groups(
    runs: Sequence[AnsweredRun], place: int, right: Sequence[NDArray[np.bool_]], images: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Rows of both shares, what was fixed and broken, and the difference, by kind, colour, size and look-alikes."""
    run = runs[place]
    by: dict[str, Callable[[int], str]] = {
        "kind": lambda n: kind_of(run.outcomes[n].caption),
        "colour": lambda n: colour_of(run.outcomes[n].caption),
        "size": lambda n: size_of(run.outcomes[n].truths_ltwh[0]) if run.outcomes[n].truths_ltwh else "no target",
    }
    if run.cases:
        by["look-alikes"] = lambda n: group_of(run.cases[n], "look-alikes")
    told = {}
    for name, group in by.items():
        members: dict[str, list[int]] = {}
        for n in range(len(run.outcomes)):
            members.setdefault(group(n), []).append(n)
        largest = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))[:MOST_ROWS]
        if len(members) > 1:
            told[name] = [_row(runs, place, right, images, name, value, at) for value, at in largest]
    return told


def _row(
    runs: Sequence[AnsweredRun],
    place: int,
    right: Sequence[NDArray[np.bool_]],
    images: Sequence[str],
    by: str,
    value: str,
    at: list[int],
) -> dict[str, Any]:
    a, b = right[0][at], right[place][at]
    difference = paired_difference(a, b, [images[n] for n in at], 1000)
    shown = {by.replace("-", "_"): value}
    return {
        "group": value, "captions": len(at), "link": _link(runs, place, **shown), "share_a": float(a.mean()),
        "share_b": float(b.mean()), "difference": difference.difference, "ci95": list(difference.ci95),
        "fixed": {"count": int((~a & b).sum()), "link": _link(runs, place, versus="fixed", **shown)},
        "broken": {"count": int((a & ~b).sum()), "link": _link(runs, place, versus="broken", **shown)},
    }  # fmt: skip
