"""From a model's words to boxes, in the convention that the settings declare; what does not fit it is no answer."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onestage.settings import AxisOrder, Coordinates

SLACK = 0.01  # share of the range by which a number may lie outside it: models round, and 1001 is still the edge
_TAGGED = re.compile(r"<box>(.*?)</box>", re.DOTALL)
_FOREIGN = re.compile(r"[^-0-9.,\s\[\]()<>]")  # in a tag; `inf` and digits of other scripts are no numbers of a box


class NoAnswer(Exception):  # noqa: N818 (it is an answer, not a defect)
    """The words hold no boxes of the declared form."""


def parse_boxes(
    text: str, key: str, coordinates: Coordinates, order: AxisOrder, size: tuple[int, int],
    resized: tuple[int, int] | None = None,
) -> NDArray[np.float32]:  # fmt: skip
    """(N, 4) xyxy pixels of an image of `size` (width, height) from JSON or `<box>` tags; (0, 4) for an empty list.

    Raises NoAnswer for anything else: prose, a box of other than four finite numbers or without area, numbers beyond
    the range of the declared coordinates. resized: (width, height) the model saw, for `Coordinates.resized`.
    """
    quads = [_quad(value) for value in _boxes(_value(text), key)]
    boxes = np.asarray(quads, np.float64).reshape(-1, 4)
    if order is AxisOrder.yxyx:
        boxes = boxes[:, [1, 0, 3, 2]]
    ranges = {Coordinates.pixels: size, Coordinates.unit: (1, 1), Coordinates.thousand: (1000, 1000)}
    span = np.asarray((resized or size) if coordinates is Coordinates.resized else ranges[coordinates], np.float64)
    relative = boxes / np.tile(span, 2)
    if len(boxes) and (relative.min() < -SLACK or relative.max() > 1 + SLACK):
        raise NoAnswer(f"numbers beyond the range of {coordinates.value}")
    pixels = np.clip(relative, 0, 1) * np.tile(np.asarray(size, np.float64), 2)
    if (pixels[:, 2:] <= pixels[:, :2]).any():
        raise NoAnswer("a box without area")
    return pixels.astype(np.float32)


def _value(text: str) -> Any:
    """The JSON value in the words: all of them, a fenced block, what the tags hold, or the first list or object."""
    tagged = _TAGGED.findall(text)
    if tagged:
        if any(_FOREIGN.search(part) for part in tagged):
            raise NoAnswer("tags that hold more than numbers")
        inner = [[float(n) for n in re.findall(r"-?[0-9]+(?:\.[0-9]+)?", part)] for part in tagged]
        return [row[i : i + 4] for row in inner for i in range(0, len(row), 4)]
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    for at in [m.start() for m in re.finditer(r"[\[{]", text)][:20]:
        try:
            return decoder.raw_decode(text, at)[0]
        except (ValueError, RecursionError):
            continue
    raise NoAnswer("no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, whose every field must stand in it once: which of two boxes is meant is not guessed."""
    if len(dict(pairs)) < len(pairs):
        raise NoAnswer("a field twice in one object")
    return dict(pairs)


def _boxes(value: Any, key: str) -> Iterator[Any]:
    """Every value that stands for a box: under `key`, or a bare list of four numbers, within lists and one object."""
    if isinstance(value, list):
        if value and all(isinstance(v, int | float) for v in value):
            yield value
        else:
            for entry in value:
                yield from _boxes(entry, key)
    elif isinstance(value, dict) and key in value:
        held = value[key]
        nested = isinstance(held, list) and (not held or isinstance(held[0], list))  # InternVL: several boxes an object
        yield from held if nested else [held]
    elif isinstance(value, dict) and len(lists := [v for v in value.values() if _holds_objects(v)]) == 1:
        yield from _boxes(lists[0], key)
    else:
        raise NoAnswer(f"no field {key!r}")


def _holds_objects(value: Any) -> bool:
    """Whether it is a list of objects (an empty one too); numbers under another name than the declared are no box."""
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _quad(value: Any) -> list[float]:
    good = isinstance(value, list) and len(value) == 4
    if not good or any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        raise NoAnswer("not four numbers")
    if not all(abs(v) < 2**53 and math.isfinite(v) for v in value):
        raise NoAnswer("not four finite numbers")
    return [float(v) for v in value]


def schema_of(key: str) -> dict[str, Any]:
    """The JSON schema of an answer; an object at the root, as strict servers ask for."""
    box = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
    entry = {"type": "object", "properties": {key: box}, "required": [key], "additionalProperties": False}
    objects = {"type": "array", "items": entry}
    return {"type": "object", "properties": {"objects": objects}, "required": ["objects"],
            "additionalProperties": False}  # fmt: skip
