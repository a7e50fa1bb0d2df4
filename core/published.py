"""What the published log says of a preset, shown beside what this run measured."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Published:
    """One published figure; a preset of `configs/experiment` sets it, nothing is computed from it."""

    metric: str = "accuracy"  # which of the command's metrics it is
    value: float | None = None  # as published, 0..1; null: this is no published run
    corrected: float | None = None  # the right value where the published one is wrong
    split: str | None = None  # what it was measured on
    place: str | None = None  # lines of the published log; docs/experiments.csv has the whole row


def beside(published: Published, metrics: dict[str, Any]) -> dict[str, Any]:
    """The published figure as metrics of its own, to stand beside the run's; empty when there is none.

    The difference is given only where the run measured the same metric; it says something only on the same captions.
    """
    if published.value is None:
        return {}
    figures: dict[str, Any] = {f"published_{published.metric}": published.value}
    right = published.value
    if published.corrected is not None:
        right = figures[f"published_{published.metric}_corrected"] = published.corrected
    figures["published_on"] = f"{published.split} ({published.place})"
    if isinstance(metrics.get(published.metric), float):
        figures[f"{published.metric}_minus_published"] = metrics[published.metric] - right
    return figures
