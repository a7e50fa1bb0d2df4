"""Curves that decide: what withholding unsure answers gives, whether scores say what they mean, and margins."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from eval.answered import AnsweredRun
from eval.answers.measures import BINS, Counts, counts_of
from eval.charts.kinds import Bars, Chart, Line, LineChart
from eval.report.links import link
from eval.report.margins import margins

POINTS = 48  # of a curve, each of which can be followed
EDGES = (-np.inf, -8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0, np.inf)  # of the margins, in log-odds
SHARE = (0.0, 1.02)


def deciding_charts(run: AnsweredRun) -> list[Chart]:
    """Risk against coverage, calibration and margins; those that the run's answers tell nothing of are left out."""
    counts = counts_of(run.outcomes)
    return [*risk_coverage(counts), *calibration(counts), *margin_bars(run)]


def risk_coverage(counts: Counts) -> list[Chart]:
    """The share of wrong answers among the surest, from the surest on; equally sure ones are answered together."""
    if not np.isfinite(counts.sure).any():
        return []
    order = np.argsort(-counts.sure, kind="stable")
    sure, wrong = counts.sure[order], ~counts.is_exact[order]
    ends = np.flatnonzero(np.append(sure[1:] != sure[:-1], True) & np.isfinite(sure))
    ends = ends[np.unique(np.linspace(0, len(ends) - 1, min(POINTS, len(ends))).round().astype(int))]
    coverage, risk = (ends + 1) / len(order), np.cumsum(wrong)[ends] / (ends + 1)
    name = "confidence" if np.isnan(counts.score).all() else "score"
    links = [link(**{name: (float(sure[end]), None)}) for end in ends]
    line = Line("risk", coverage.tolist(), risk.tolist(), links)
    note = f"Answers below a {name} withheld: how many are left, and how many of these are wrong. For absent_below."
    return [LineChart("risk-coverage", "Risk against coverage", "share of captions answered", "share wrong", [line],
                      y_range=(0.0, max(0.05, float(risk.max()) * 1.05)), note=note, x_range=(0.0, 1.0))]  # fmt: skip


def calibration(counts: Counts) -> list[Chart]:
    """The share of right answers in each bin of the score, beside what the score says."""
    scored = ~np.isnan(counts.score)
    score, right = counts.score[scored], (counts.hit & (counts.num_boxes > 0))[scored]
    if not len(score) or score.min() < 0 or score.max() > 1:
        return []
    place = np.minimum((score * BINS).astype(int), BINS - 1)
    filled = np.unique(place)
    means = [float(score[place == b].mean()) for b in filled]
    shares = [float(right[place == b].mean()) for b in filled]
    links = [link(score=(b / BINS, float(np.nextafter((b + 1) / BINS, 0)) if b + 1 < BINS else None)) for b in filled]
    lines = [Line("as it is", means, shares, links), Line("as the score says", [0.0, 1.0], [0.0, 1.0])]
    note = f"The mean score of each of {BINS} bins and the share of right answers in it. Below the line: too sure."
    title = "Calibration of the score"
    return [LineChart("calibration", title, "score", "share right", lines, (), SHARE, note, (0.0, 1.0))]


def margin_bars(run: AnsweredRun) -> list[Chart]:
    """How many captions have which margin between the best right candidate and the best other one."""
    found = margins(run.cases, run.is_sigmoid) if run.cases else np.zeros(0)
    known = found[~np.isnan(found)].astype(np.float32)  # as the page has them
    if not len(known):
        return []
    edges = EDGES if run.is_sigmoid else _edges(known)
    bins = list(pairwise(edges))
    numbers = [int(((known >= low) & (known < high)).sum()) for low, high in bins]
    links = [link(margin=(_end(low), _end(float(np.nextafter(np.float32(high), np.float32(-np.inf))))))
             for low, high in bins]  # fmt: skip
    scale = ", in log-odds" if run.is_sigmoid else ""
    note = f"The best right candidate's score minus the best other's{scale}. Below 0 the scorer prefers a wrong one."
    labels, shares = [_interval(low, high) for low, high in bins], [n / len(known) for n in numbers]
    return [Bars("margins", "Margins", labels, shares, (), numbers, note, links, counts_are_parts=True)]


def _edges(known: NDArray[np.float32]) -> Sequence[float]:
    """Edges for scores of any scale, 0 among them."""
    step = float(np.quantile(np.abs(known), 0.9)) / 4 or 1.0
    return [-np.inf, *(round(k * step, 6) for k in range(-4, 5)), np.inf]


def _end(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _interval(low: float, high: float) -> str:
    if not np.isfinite(low):
        return f"below {high:g}"
    return f"{low:g} and more" if not np.isfinite(high) else f"{low:g} to {high:g}"
