"""What to try when a training learned nothing that its validation can see."""

from collections.abc import Mapping
from typing import Any


def advice(figures: Mapping[str, Any]) -> str | None:
    """One line where the last epoch ranks no better than chance, or had nothing to rank; None otherwise."""
    if figures.get("detected_ceiling") == 0:
        return "no candidate of the detector's meets a target: lower its confidence, or train it longer"
    accuracy, chance = figures.get("ranking_accuracy"), figures.get("chance")
    if accuracy is None or chance is None:
        return None
    if chance >= 1:
        return "no image of val_crops has two targets, so there was nothing to rank"
    if accuracy > chance:
        return None
    return (
        f"ranks {100 * accuracy:.1f} % of the captions right, {100 * chance:.1f} % by chance: try more epochs, another "
        "lr, or a scorer that is trained already"
    )
