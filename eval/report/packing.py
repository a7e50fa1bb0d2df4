"""Numbers and words as a page carries them: arrays as base64, JSON that cannot end the element it stands in."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

TYPES = {"f8": "<f8", "f4": "<f4", "i4": "<i4", "u4": "<u4", "u2": "<u2", "u1": "u1"}


def packed(values: ArrayLike, kind: str) -> dict[str, str]:
    """An array as `{"t": kind, "b": base64}` in C order, little-endian; kind: one of TYPES."""
    data = np.ascontiguousarray(np.asarray(values), TYPES[kind]).tobytes()
    return {"t": kind, "b": text(data)}


def text(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode("ascii")


def offsets(sizes: Sequence[int]) -> dict[str, str]:
    """(K + 1,) where each of K runs of these sizes begins, and where the last ends."""
    return packed(np.concatenate([[0], np.cumsum(np.asarray(sizes, np.int64))]), "i4")


def codes(values: Sequence[str]) -> dict[str, Any]:
    """Words as `{"names": [...], "of": packed}`, the most frequent first."""
    found, number = np.unique(np.asarray(values, object).astype(str), return_counts=True)
    names = [str(name) for name in found[np.argsort(-number, kind="stable")]]
    place = {name: n for n, name in enumerate(names)}
    return {"names": names, "of": packed([place[str(v)] for v in values], "u4")}


def script_json(value: Any) -> str:
    """JSON that is safe within a script element: no `<`, `>` or `&`, and no line separators of JavaScript."""
    told = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        told = told.replace(character, f"\\u{ord(character):04x}")
    return told.encode("utf-8", "backslashreplace").decode("utf-8")  # half of a surrogate pair is no UTF-8
