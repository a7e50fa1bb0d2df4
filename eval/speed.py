"""The competition's arithmetic: speed scores and totals as published, and which systems are worth their time."""

from collections.abc import Mapping, Sequence
from typing import Any

BUDGET_S = 5400.0  # 90 minutes for the whole test set
FINALS_LIMIT_S = 30.0  # a case that takes longer earns nothing for speed


def speed_score(elapsed_s: float, budget_s: float = BUDGET_S) -> float:
    """1 - t / budget, never below 0; the log's 81 speed scores are this to the last digit."""
    return max(0.0, 1.0 - elapsed_s / budget_s)


def total(accuracy: float, speed: float, accuracy_weight: float = 0.9, speed_weight: float = 0.1) -> float:
    """The qualifiers' total of accuracy and speed score."""
    return accuracy_weight * accuracy + speed_weight * speed


def finals_total(
    language: float, vision: float, elapsed_s: float, weights: tuple[float, float, float] = (0.45, 0.45, 0.1)
) -> float:
    """The finals' total of one case: language and vision scores, and 1 - min(30, t) / 30 for the time."""
    perf = 1.0 - min(FINALS_LIMIT_S, elapsed_s) / FINALS_LIMIT_S
    return weights[0] * language + weights[1] * vision + weights[2] * perf


def time_per_image(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Milliseconds an image by stage, warm-up apart, from a pipeline.export run's `stages`; `all` is their sum.

    Empty when the run was too short to have anything but its warm-up.
    """
    detector = stages.get("detector")
    images = (detector["count"] - detector["warmup_count"]) if detector else 0
    if images <= 0:
        return {}
    times = {
        n: 1000 * (s["total_s"] - s["warmup_s"]) / images for n, s in stages.items() if s.get("total_s") is not None
    }
    return {**times, "all": sum(times.values())}


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which (cost, merit) points no other point beats: none is at most as costly and at least as good, and better in
    one of the two."""
    return [not any(c <= cost and m >= merit and (c, m) != (cost, merit) for c, m in points) for cost, merit in points]
