"""An image with the answer and its runners-up drawn on it."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

CHOSEN_RGB = (46, 204, 113)
OTHER_RGB = (241, 196, 15)


def draw_answer(
    image: NDArray[np.uint8], boxes_xyxy: Sequence[Sequence[float]], scores: Sequence[float], caption: str, found: int
) -> NDArray[np.uint8]:
    """(H, W, 3) RGB with every box and its score under the caption; the first `found` are the answer, thicker."""
    scale = max(1.0, image.shape[1] / 1500)
    canvas = image.copy()
    for place in reversed(range(len(boxes_xyxy))):
        chosen = place < found
        colour = CHOSEN_RGB if chosen else OTHER_RGB
        x1, y1, x2, y2 = (round(v) for v in boxes_xyxy[place])
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, round((3 if chosen else 1) * scale))
        _label(canvas, f"{scores[place]:.3g}", (x1, y1 - round(4 * scale)), 0.45 * scale, colour)
    margin, line = round(10 * scale), round(25 * scale)
    lines = _wrapped(caption, 0.6 * scale, image.shape[1] - 2 * margin)
    bar = np.full((len(lines) * line + round(9 * scale), image.shape[1], 3), 24, np.uint8)
    for number, text in enumerate(lines):
        _text(bar, text, (margin, round(23 * scale) + number * line), 0.6 * scale, (240, 240, 240))
    return np.concatenate([canvas, bar])


def _wrapped(text: str, size: float, width: int) -> list[str]:
    """The text's words in lines that are no wider than `width` pixels, a word alone apart."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        fits = cv2.getTextSize(longer, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0] <= width
        lines[-1:] = [longer] if fits or not lines[-1] else [lines[-1], word]
    return lines


def _label(
    canvas: NDArray[np.uint8], text: str, at: tuple[int, int], size: float, colour: tuple[int, int, int]
) -> None:
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    x = min(max(0, at[0]), max(0, canvas.shape[1] - width))
    y = max(at[1], height + base)
    cv2.rectangle(canvas, (x, y - height - base), (x + width, y + base // 2), (24, 24, 24), -1)
    _text(canvas, text, (x, y - base // 2), size, colour)


def _text(canvas: NDArray[np.uint8], text: str, at: tuple[int, int], size: float, colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
