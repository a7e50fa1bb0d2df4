"""Whether a difference between two runs on the same captions is one: paired tests, intervals by image, equivalence."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05
BLOCK = 2**17  # numbers drawn at once: 1 MiB
KEPT = 2**23  # numbers of draws kept for the next figure: 64 MiB


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Run B against run A on the same captions; shares 0..1, B minus A."""

    difference: float
    ci95: tuple[float, float]  # by image
    ci90: tuple[float, float]  # the interval that equivalence is judged by (two one-sided tests at 5 %)
    num_only_a: int  # captions that A alone got right
    num_only_b: int
    p_value: float  # McNemar, exact, two-sided


def mcnemar(num_only_a: int, num_only_b: int) -> float:
    """Exact two-sided p of McNemar's test: a fair coin for each caption that only one of two runs got right."""
    from scipy.stats import binomtest

    total = num_only_a + num_only_b
    return 1.0 if total == 0 else float(binomtest(num_only_a, total, 0.5).pvalue)


def paired_difference(
    hits_a: NDArray[np.bool_], hits_b: NDArray[np.bool_], images: Sequence[str], resamples: int = 4000, seed: int = 0
) -> PairedDifference:
    """Compare two runs caption by caption; the intervals resample whole images, whose captions fail together.

    hits_a, hits_b: (N,) of the same captions in the same order. The same seed gives the same intervals. With a single
    image nothing is known of the spread: then the intervals are (-1, 1).
    """
    change = hits_b.astype(np.float64) - hits_a.astype(np.float64)
    only_a, only_b = int((hits_a & ~hits_b).sum()), int((hits_b & ~hits_a).sum())
    means = _resampled_means(change, images, resamples, seed)
    ends = (-1.0, -1.0, 1.0, 1.0) if means is None else map(float, np.quantile(means, [0.025, 0.05, 0.95, 0.975]))
    low95, low90, high90, high95 = ends
    return PairedDifference(
        float(change.mean()), (low95, high95), (low90, high90), only_a, only_b, mcnemar(only_a, only_b)
    )


def bootstrap_by_image(
    hits: NDArray[np.floating], images: Sequence[str], resamples: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean of `hits`, resampling whole images, because the captions of one image fail together.

    The same seed gives the same interval. A single image tells nothing of the spread: then (0, 1).
    """
    means = _resampled_means(hits, images, resamples, seed)
    if means is None:
        return 0.0, 1.0
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _resampled_means(
    values: NDArray[np.floating], images: Sequence[str], resamples: int, seed: int
) -> NDArray[np.float64] | None:
    """(resamples,) means of `values` over images drawn with replacement; None for a single image."""
    drawn = Resamples(images, resamples, seed)
    if drawn.num_images < 2:
        return None
    return drawn.ratios(np.asarray(values, np.float64)[:, None], np.ones((len(values), 1)))[:, 0]


class Resamples:
    """Images drawn with replacement, the same draws for every figure of a set; the same seed gives the same draws.

    In blocks, so that resamples x images do not fill the memory; the blocks' size changes no draw. The draws of a
    set that is small enough are kept for the next figure.
    """

    def __init__(self, images: Sequence[str], resamples: int = 4000, seed: int = 0) -> None:
        names, self.group = np.unique(np.asarray(images), return_inverse=True)  # (M,) each caption's image
        self.num_images = len(names)
        self._resamples, self._seed = resamples, seed
        self._kept: list[NDArray[np.float64]] = []

    def _blocks(self) -> Iterator[NDArray[np.float64]]:
        """(R, I) how often each image is drawn, R resamples at a time."""
        if self._kept:
            yield from self._kept
            return
        generator, share = np.random.default_rng(self._seed), np.full(self.num_images, 1 / self.num_images)
        block = max(1, BLOCK // self.num_images)
        keeps = self._resamples * self.num_images <= KEPT
        kept = []
        for start in range(0, self._resamples, block):
            size = min(block, self._resamples - start)
            draws = generator.multinomial(self.num_images, share, size=size).astype(np.float64)
            if keeps:
                kept.append(draws)
            yield draws
        self._kept = kept

    def ratios(self, parts_MK: NDArray[np.float64], wholes_MK: NDArray[np.float64]) -> NDArray[np.float64]:
        """(resamples, K) sums of `parts` over sums of `wholes`; NaN where a resample's whole is nothing."""
        part_IK, whole_IK = self._by_image(parts_MK), self._by_image(wholes_MK)
        found = []
        for draws in self._blocks():
            part, whole = draws @ part_IK, draws @ whole_IK
            found.append(np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0))
        return np.concatenate(found)

    def _by_image(self, values_MK: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = [np.bincount(self.group, weights=column, minlength=self.num_images) for column in values_MK.T]
        return np.stack(columns, axis=1)

    def intervals(self, parts_MK: NDArray[np.float64], wholes_MK: NDArray[np.float64]) -> list[tuple[float, float]]:
        """The 95 % interval of each column's ratio, (0, 1) for a single image and for a ratio of nothing."""
        if self.num_images < 2:
            return [(0.0, 1.0)] * parts_MK.shape[1]
        ratios = self.ratios(parts_MK, wholes_MK)
        intervals = []
        for column in ratios.T:
            known = column[~np.isnan(column)]
            low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (0.0, 1.0)
            intervals.append((float(low), float(high)))
        return intervals

    def interval_of(
        self,
        figure: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        most: int | None = None,
        width: int = 1,
    ) -> list[float]:
        """The 95 % interval of a figure that takes (R, I) draws and gives (R,) values.

        most: how many resamples to take. width: how many numbers the figure holds at once for each.
        """
        if self.num_images < 2:
            return [0.0, 1.0]
        values: list[NDArray[np.float64]] = []
        left = self._resamples if most is None else most
        rows = max(1, BLOCK // width)
        for draws in self._blocks():
            for start in range(0, min(left, len(draws)), rows):
                values.append(figure(draws[start : min(start + rows, left)]))
            left -= len(draws)
            if left <= 0:
                break
        return [float(v) for v in np.quantile(np.concatenate(values), [0.025, 0.975])]


def verdict(difference: PairedDifference, margin: float, p_adjusted: float) -> str:
    """`better`, `worse`, `equivalent within the margin`, or `no difference shown`.

    A difference must pass both the adjusted McNemar test and the interval by image. Equivalence needs the whole 90 %
    interval within the margin, so that a small set of captions can never prove it.
    """
    low, high = difference.ci95
    if p_adjusted < ALPHA and low > 0:
        return "better"
    if p_adjusted < ALPHA and high < 0:
        return "worse"
    if -margin < difference.ci90[0] and difference.ci90[1] < margin:
        return f"equivalent within {margin:g}"
    return "no difference shown"


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment for several comparisons, in the order given."""
    order = np.argsort(p_values, kind="stable")
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order.tolist()):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = running
    return adjusted


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Kendall's tau-b and Spearman's rho; NaN when one side does not vary.

    Both come from the signs of all differences: their products give tau, and their sums over a row are the (doubled,
    centred) ranks with ties averaged, whose correlation is rho. Resampling needs this to be a hundred times faster than
    scipy.
    """
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    sign_x, sign_y = np.sign(xs[:, None] - xs), np.sign(ys[:, None] - ys)
    pairs_x, pairs_y = float((sign_x**2).sum()), float((sign_y**2).sum())
    if not pairs_x or not pairs_y:
        return float("nan"), float("nan")
    rank_x, rank_y = sign_x.sum(axis=1), sign_y.sum(axis=1)
    rho = (rank_x * rank_y).sum() / np.sqrt((rank_x**2).sum() * (rank_y**2).sum())
    return float((sign_x * sign_y).sum() / np.sqrt(pairs_x * pairs_y)), float(rho)


def bootstrap_pairs(
    statistic: Callable[[list[float], list[float]], tuple[float, ...]],
    x: Sequence[float],
    y: Sequence[float],
    resamples: int = 2000,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """95 % percentile intervals of each value of a statistic of pairs, resampling pairs; resamples without spread are
    passed over."""
    draw = np.random.default_rng(seed)
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    values = []
    for _ in range(resamples):
        pick = draw.integers(0, len(xs), len(xs))
        found = statistic(xs[pick].tolist(), ys[pick].tolist())
        if not any(np.isnan(found)):
            values.append(found)
    if not values:
        return [(-1.0, 1.0)] * len(statistic(list(x), list(y)))
    low, high = np.quantile(np.asarray(values), [0.025, 0.975], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
