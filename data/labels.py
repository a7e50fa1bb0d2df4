"""YOLO labels: where an image's file of them is, and its lines `class x_centre y_centre width height`.

The numbers are fractions of the image's sides. What every reader of labels here takes, as Ultralytics does: a polygon
or an oriented box, `class x1 y1 x2 y2 ...`, stands for the box round it, and what a rounding puts a hundredth over an
edge is cut to the image. Boxes and polygons may stand in one file.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.files import read_text
from core.values import Box

TOLERANCE = 0.01  # how far over an edge is a rounding, in fractions of the side; Ultralytics' own
ROUNDING = 1e-9  # of float64 arithmetic on fractions: not worth a cut, which would change the last digits

Fractions = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Label:
    """One line of a label file: its number from 1, its text, its class and its box (x_centre, y_centre, w, h)."""

    line: int
    text: str
    kind: int
    fractions: Fractions


def label_path(image: Path) -> Path:
    """Where an image's labels are: the last folder `images` of its path becomes `labels`, else beside the image."""
    head, found, tail = str(image).rpartition(f"{os.sep}images{os.sep}")
    return Path(f"{head}{os.sep}labels{os.sep}{tail}" if found else image).with_suffix(".txt")


def read_labels(image: Path) -> tuple[Label, ...]:
    """The labels of an image, in order; none when it has no label file. InputError names file, line and field."""
    path = label_path(image)
    if not path.is_file():
        return ()
    lines = enumerate(read_text(path).split("\n"), start=1)
    return tuple(Label(n, text.strip(), *parse_label(text, f"{path} line {n}")) for n, text in lines if text.strip())


def target_boxes(labels: Sequence[Label]) -> NDArray[np.float32]:
    """(N, 4) x_centre, y_centre, width, height of an image's targets: whatever their class, equal boxes are one."""
    distinct = list(dict.fromkeys(label.fractions for label in labels))
    return np.asarray(distinct, np.float32).reshape(-1, 4)


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


def parse_label(line: str, where: str) -> tuple[int, Fractions]:
    """A label line -> its class and its box's four fractions, cut to the image; InputError names `where` and field."""
    words = line.split()
    if len(words) != 5 and (len(words) < 7 or len(words) % 2 == 0):
        raise InputError(
            f"{where}: field 'bbox': {len(words)} words, neither class x_centre y_centre width height nor a class and "
            "the corners of a polygon"
        )
    try:
        kind = float(words[0])
        numbers = [float(word) for word in words[1:]]
    except ValueError as error:
        raise InputError(f"{where}: field 'bbox': not all numbers: {line.strip()[:60]!r}") from error
    if not kind.is_integer() or kind < 0:
        raise InputError(f"{where}: field 'class': {words[0]!r} is not a class number")
    if not all(math.isfinite(v) and -TOLERANCE <= v <= 1 + TOLERANCE for v in numbers):
        raise InputError(f"{where}: field 'bbox': not fractions of the image with some area: {line.strip()[:60]!r}")
    fractions = _inside(numbers) if len(words) == 5 else _round(numbers)
    if fractions[2] <= 0 or fractions[3] <= 0:
        raise InputError(f"{where}: field 'bbox': not fractions of the image with some area: {line.strip()[:60]!r}")
    return int(kind), fractions


def _inside(numbers: Sequence[float]) -> Fractions:
    """A box cut to the image; one that lies in it stays as it is, to the bit."""
    x, y, w, h = numbers
    corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    if w <= 0 or h <= 0 or all(-ROUNDING <= v <= 1 + ROUNDING for v in corners):
        return x, y, w, h
    return _centred(*(min(1.0, max(0.0, v)) for v in corners))


def _round(numbers: Sequence[float]) -> Fractions:
    """The box round a polygon, both cut to the image."""
    xs, ys = ([min(1.0, max(0.0, v)) for v in numbers[start::2]] for start in (0, 1))
    return _centred(min(xs), min(ys), max(xs), max(ys))


def _centred(left: float, top: float, right: float, bottom: float) -> Fractions:
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


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
