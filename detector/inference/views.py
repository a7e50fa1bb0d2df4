"""Views of an image: the same pixels flipped, turned or scaled, and the way back for boxes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

TTA = "tta"  # Ultralytics' own test-time augmentation: scales 1, 0.83, 0.67, the middle one mirrored, one NMS for all
PLAIN = "plain"
TURNS = {"rotate_90": 1, "rotate_180": 2, "rotate_270": 3}  # quarter turns counter-clockwise


@dataclass(frozen=True, slots=True)
class ViewTransform:
    """A view by name: `plain`, `flip_lr`, `flip_ud`, `rotate_90|180|270`, `scale_0.83`, joined by `+`."""

    name: str
    turns: int = 0
    flip_lr: bool = False
    flip_ud: bool = False
    scale: float = 1.0

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image as this view shows it (scale is left to the letterbox): mirrored, then turned."""
        if self.flip_lr:
            image = image[:, ::-1]
        if self.flip_ud:
            image = image[::-1]
        return np.ascontiguousarray(np.rot90(image, self.turns))

    def undo(self, boxes_xyxy: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
        """(N, 4) boxes in the view's pixels -> boxes in the pixels of the (height, width) image it was made of."""
        boxes = boxes_xyxy
        view_w, view_h = (width, height) if self.turns % 2 == 0 else (height, width)
        for _ in range(self.turns):  # one quarter turn clockwise each: (x, y) -> (view_h - y, x)
            x1, y1, x2, y2 = boxes.T
            boxes = np.stack([view_h - y2, x1, view_h - y1, x2], axis=1)
            view_w, view_h = view_h, view_w
        if self.flip_ud:
            boxes = np.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], axis=1)
        if self.flip_lr:
            boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
        return boxes


def parse_view(name: str) -> ViewTransform:
    """The view of a name; InputError names the part that means nothing."""
    turns, flip_lr, flip_ud, scale = 0, False, False, 1.0
    for part in name.split("+"):
        if part in TURNS:
            turns = (turns + TURNS[part]) % 4
        elif part == "flip_lr":
            flip_lr = True
        elif part == "flip_ud":
            flip_ud = True
        elif part.startswith("scale_") and _is_scale(part[6:]):
            scale = float(part[6:])
        elif part != PLAIN and name != TTA:
            known = f"{PLAIN}, {TTA}, flip_lr, flip_ud, {', '.join(TURNS)}, scale_0.83"
            raise InputError(f"detector.views: {part!r} in {name!r} is none of {known} (join them by +)")
    return ViewTransform(name, turns, flip_lr, flip_ud, scale)


def _is_scale(text: str) -> bool:
    try:
        return 0 < float(text) <= 4
    except ValueError:
        return False
