"""What the keys of a candidate store stand for, as columns of a sweep's table: image size, upscaler, checkpoints."""

from collections.abc import Mapping
from typing import Any

Known = Mapping[str, Mapping[str, Any]]  # every key and what `pipeline.export` recorded of it


def detector_columns(known: Known, key: str) -> dict[str, Any]:
    """Checkpoint and image size of a detector; of `a+b` both, joined alike. Nothing where the store says nothing."""
    members = [member for part in key.split("+") for member in _members(known.get(part, {}).get("detector"))]
    return {
        "imgsz": "+".join(_size(m.get("imgsz")) for m in members) or None,
        "detector_weights": "+".join(str(m.get("weights")) for m in members) or None,
    }


def scorer_columns(known: Known, key: str | None) -> dict[str, Any]:
    """Upscaler with its pad, and checkpoint of a scorer; nothing without one."""
    about = known.get(key, {}) if key is not None else {}
    return {"upscaler": about.get("upscaler"), "scorer_weights": about.get("scorer")}


def _members(detector: Any) -> list[Mapping[str, Any]]:
    if not isinstance(detector, Mapping):
        return []
    return list(detector.get("members") or [detector])


def _size(imgsz: Any) -> str:
    """Height x width where they were set apart, as the published log's table writes it."""
    if imgsz is None:
        return "as trained"
    return "x".join(map(str, imgsz)) if isinstance(imgsz, list) else str(imgsz)
