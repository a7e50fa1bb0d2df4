"""Addresses within the page: every number leads to the captions that it counts."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

SETTINGS = {"confidence": "confidence", "nms_iou": "nms_iou", "max_det": "max_det", "confidence_weight": "weight",
            "combine": "combine", "absent_below": "absent_below", "select": "select", "above": "above",
            "method": "method"}  # fmt: skip


def link(**shown: Any) -> str:
    """The address of the captions with these values of facets, such as fate="missed", or within ranges.

    A range is a pair (low, high), either of which may be None. Names with a hyphen are written with an underscore.
    """
    told = {}
    for name, value in shown.items():
        if isinstance(value, tuple):
            value = "..".join("" if end is None else repr(float(end)) for end in value)
        told[name.replace("look_alikes", "look-alikes")] = value
    return "#/" + urlencode(told, errors="replace")


def setting_link(row: Mapping[str, Any], offers: Mapping[str, Any] | None, **shown: Any) -> str | None:
    """The address of a sweep's setting, None where the page cannot be set to it.

    row: of eval.sweep, or some of its settings. offers: what the page holds of the run, by `eval.report.offers`.
    """
    if offers is None or offers["fixed"] or not _is_reached(row, offers):
        return None
    moved = {f"w.{page}": _word(row[name]) for name, page in SETTINGS.items() if name in row}
    for page, is_idle in (
        ("above", row.get("select", "best") == "best"),
        ("weight", row.get("combine") == "posterior"),
    ):
        if is_idle:
            moved.pop(f"w.{page}", None)
    return "#/" + urlencode(moved | shown, errors="replace")


def _is_reached(row: Mapping[str, Any], offers: Mapping[str, Any]) -> bool:
    own = offers["keys"]
    fits = all(row.get(name, own[name]) == own[name] for name in own)
    cuts = row.get("nms_iou", offers["nms_ious"][0]) in offers["nms_ious"]
    limits = row.get("max_det", offers["max_dets"][0]) in offers["max_dets"]
    return fits and cuts and limits and row.get("confidence", 1.0) >= offers["floor"]


def _word(value: Any) -> str:
    return "null" if value is None else str(value)
