"""YOLO label lines: `class x_centre y_centre width height`, as fractions of the image's sides."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.values import Box


def label_lines(boxes_xyxy: NDArray[np.float64], width: int, height: int) -> list[str]:
    """(N, 4) boxes in pixels, inside the frame -> N label lines of class 0, each number as short as it is exact."""
    lines = []
    for left, top, right, bottom in boxes_xyxy.tolist():
        numbers = (
            (left + right) / 2 / width,
            (top + bottom) / 2 / height,
            (right - left) / width,
            (bottom - top) / height,
        )
        lines.append(" ".join(["0", *(repr(n) for n in numbers)]))
    return lines


def parse_label(line: str, where: str) -> tuple[int, tuple[float, float, float, float]]:
    """A label line -> its class and its four fractions; InputError names `where` and the field."""
    words = line.split()
    if len(words) != 5:
        raise InputError(f"{where}: field 'bbox': {len(words)} words, not class x_centre y_centre width height")
    try:
        kind = float(words[0])
        x, y, w, h = (float(word) for word in words[1:])
    except ValueError as error:
        raise InputError(f"{where}: field 'bbox': not five numbers: {line.strip()[:60]!r}") from error
    if not kind.is_integer() or kind < 0:
        raise InputError(f"{where}: field 'class': {words[0]!r} is not a class number")
    if not all(math.isfinite(v) and 0 <= v <= 1 for v in (x, y, w, h)) or w <= 0 or h <= 0:
        raise InputError(f"{where}: field 'bbox': not fractions of the image with some area: {line.strip()[:60]!r}")
    return int(kind), (x, y, w, h)


def label_box(fractions: Sequence[float], width: int, height: int) -> Box:
    """Four fractions -> the box in pixels, to nine decimals; what is within a millionth of a whole pixel is that one.

    Whole numbers come back as integers: they are what most annotation files hold, and dividing hides them.
    """
    x, y, w, h = fractions
    left, top, right, bottom = (
        _whole(v) for v in ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
    )
    return (left, top, _whole(right - left), _whole(bottom - top))


def _whole(value: float) -> float:
    nearest = round(value)
    return nearest if abs(value - nearest) < 1e-6 else round(value, 9)
