"""What a trained network must offer, whatever runs it: boxes and confidences for letterboxed inputs, before NMS."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError, nearest
from core.values import Candidates

MOST_NAMED = 20  # classes that a message lists


class Network(Protocol):
    """A network on its device."""

    @property
    def digest(self) -> str:
        """SHA-256 of the weights file."""

    @property
    def stride(self) -> int:
        """Sides of the input are multiples of it."""

    @property
    def imgsz(self) -> int | tuple[int, int]:
        """The input size it was trained or exported at: a long side or (height, width)."""

    @property
    def fixed_shape(self) -> tuple[int, int] | None:
        """(height, width) when the network takes no other."""

    def predict(self, inputs: NDArray[np.uint8], floor: float, published_tta: bool = False) -> list[Candidates]:
        """(B, H, W, 3) RGB inputs -> per input the boxes in input pixels with confidence >= floor, before NMS.

        published_tta: Ultralytics' test-time augmentation, one set of boxes for its three scales; InputError where the
        network cannot.
        """


def class_places(names: Mapping[int, str], classes: Sequence[str], where: str) -> list[int] | None:
    """Which of a network's classes count: those named, by the names of its training; None for all.

    Raises InputError for a name that the network does not have.
    """
    if not classes:
        return None
    known = {name.lower(): number for number, name in names.items()}
    unknown = next((name for name in classes if name.lower() not in known), None)
    if unknown is not None:
        close = nearest(unknown.lower(), known)
        some = ", ".join(list(names.values())[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
        hint = f"the nearest is {names[known[close]]!r}" if close is not None else f"it has {some}"
        raise InputError(f"{where}: detector.classes: the network has no class {unknown!r}; {hint}")
    return sorted({known[name.lower()] for name in classes})


def above(boxes_xyxy: NDArray[np.floating], confidence: NDArray[np.floating], floor: float) -> Candidates:
    """The boxes with confidence >= floor, in the network's own order, as float32."""
    keep = confidence >= np.float32(floor)
    return Candidates(
        np.ascontiguousarray(boxes_xyxy[keep], dtype=np.float32), np.ascontiguousarray(confidence[keep], np.float32)
    )
