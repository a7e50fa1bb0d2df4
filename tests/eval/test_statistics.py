"""Paired statistics against their references and by simulation: what they call a difference must be one."""

import numpy as np
import pytest

from eval import statistics
from eval.statistics import (
    PairedDifference,
    bootstrap_by_image,
    holm,
    mcnemar,
    paired_difference,
    rank_correlation,
    verdict,
)


def test_mcnemar_is_the_exact_binomial():
    from math import comb

    for a, b in ((0, 0), (3, 9), (9, 3), (40, 40), (0, 6)):
        n, k = a + b, min(a, b)
        by_hand = min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n) if n else 1.0
        assert mcnemar(a, b) == pytest.approx(by_hand, abs=1e-12)


def simulated(draw, num_images, per_image, right_a, right_b, together):
    """Hits of two runs that share the images' difficulty."""
    hard = np.repeat(draw.random(num_images), per_image)
    own = [np.where(draw.random(num_images * per_image) < together, hard, draw.random(num_images * per_image))
           for _ in range(2)]  # fmt: skip
    images = [str(i // per_image) for i in range(num_images * per_image)]
    return own[0] < right_a, own[1] < right_b, images


def test_intervals_by_image_hold_the_truth_as_often_as_they_say():
    draw, inside = np.random.default_rng(0), 0
    for trial in range(200):
        a, b, images = simulated(draw, 80, 5, 0.8, 0.85, 0.5)
        low, high = paired_difference(a, b, images, resamples=400, seed=trial).ci95
        inside += low <= 0.05 <= high
    assert 0.88 <= inside / 200 <= 0.99


def test_equal_runs_are_seldom_called_different_and_large_differences_always():
    draw, wrong, found = np.random.default_rng(1), 0, 0
    for trial in range(100):
        a, b, images = simulated(draw, 60, 5, 0.8, 0.8, 0.5)
        d = paired_difference(a, b, images, resamples=400, seed=trial)
        wrong += verdict(d, 0.01, d.p_value) in {"better", "worse"}
        a, b, images = simulated(draw, 60, 5, 0.6, 0.8, 0.5)
        d = paired_difference(a, b, images, resamples=400, seed=trial)
        found += verdict(d, 0.01, d.p_value) == "better"
    assert wrong <= 10
    assert found == 100


def difference(low95, high95, low90, high90):
    return PairedDifference((low95 + high95) / 2, (low95, high95), (low90, high90), 5, 9, 0.001)


def test_verdicts():
    assert verdict(difference(0.01, 0.03, 0.012, 0.028), 0.01, 0.001) == "better"
    assert verdict(difference(-0.03, -0.01, -0.028, -0.012), 0.01, 0.001) == "worse"
    assert verdict(difference(0.01, 0.03, 0.012, 0.028), 0.01, 0.3) == "no difference shown"
    assert verdict(difference(-0.006, 0.008, -0.005, 0.007), 0.01, 0.8) == "equivalent within 0.01"
    assert verdict(difference(-0.02, 0.02, -0.015, 0.015), 0.01, 0.8) == "no difference shown"


def test_a_single_image_proves_nothing():
    d = paired_difference(np.zeros(30, bool), np.ones(30, bool), ["a"] * 30)
    assert verdict(d, 0.5, d.p_value) == "no difference shown"


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_rank_correlations_are_scipys():
    from scipy.stats import kendalltau, spearmanr

    draw = np.random.default_rng(0)
    for _ in range(40):
        x, y = draw.integers(0, 6, (2, int(draw.integers(3, 25)))).astype(float)
        if len(set(x)) > 1 and len(set(y)) > 1:
            reference = kendalltau(x, y).statistic, spearmanr(x, y).statistic
            assert rank_correlation(x, y) == pytest.approx(reference, abs=1e-12)


def test_rank_correlations_of_known_orders():
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx((1, 1))
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx((-1, -1))
    assert np.isnan(rank_correlation([1, 1, 1], [1, 2, 3])).all()


def test_interval_widens_when_the_captions_of_an_image_fail_together():
    draw = np.random.default_rng(1)
    alone = draw.random(2000) < 0.8
    together = np.repeat(draw.random(400) < 0.8, 5)
    images = [f"{i // 5}" for i in range(2000)]
    width = [np.subtract(*bootstrap_by_image(h.astype(float), images)[::-1]) for h in (alone, together)]
    binomial = 2 * 1.96 * np.sqrt(0.8 * 0.2 / 2000)
    assert width[0] == pytest.approx(binomial, rel=0.12)
    assert width[1] == pytest.approx(binomial * np.sqrt(5), rel=0.12)
    assert bootstrap_by_image(together.astype(float), images) == bootstrap_by_image(together.astype(float), images)


def test_the_size_of_the_blocks_changes_no_interval(monkeypatch):
    hits, images = np.random.default_rng(0).random(300) < 0.7, [f"{i // 3}" for i in range(300)]
    whole = bootstrap_by_image(hits, images, 500)
    monkeypatch.setattr(statistics, "BLOCK", 700)
    assert bootstrap_by_image(hits, images, 500) == pytest.approx(whole, abs=1e-15)
