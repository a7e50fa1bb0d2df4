"""What makes one doubt that boxes mean what their form says: fractions of the image, or corners, in place of sizes."""

from collections.abc import Sequence
from pathlib import Path

from core.counting import count
from core.errors import InputError
from core.values import AnnotatedImage, Box
from data.formats.taken import Taken
from data.frames import refuse_fractions

OVER = 0.01  # how far over an edge is a rounding, in fractions of the side
FEWEST, ENOUGH = 2, 20  # boxes that hang over an edge, and boxes of any place, from which on doubt begins
ANYWAY = "if they are right, faulty=skip takes them all the same"


def doubt_boxes(path: Path, images: Sequence[AnnotatedImage], taken: Taken) -> None:
    """Note boxes in pixels that reach over an edge; a fault where all look like fractions, or like corners."""
    try:
        refuse_fractions(path, images)
    except InputError as error:
        taken.faults.append(str(error))
        return
    placed = [(box, *image.size) for image in images if image.size for box in image.targets]
    taken.doubts += [(reaches_over(*one), are_corners(*one)) for one in placed]
    doubt_corners(path, "left, top, right, bottom", taken)


def doubt_corners(path: Path, form: str, taken: Taken) -> None:
    """Note boxes that reach over an edge; a fault where many do and none would if all were two corners each."""
    over, number = sum(is_over for is_over, _ in taken.doubts), len(taken.doubts)
    taken.note("boxes reach over an edge of their image; kept, and cut where they are used", over)
    if not number or not all(could_be for _, could_be in taken.doubts):
        return
    if over >= max(FEWEST, number / 2):
        told = f"{over} of {count(number, 'box reaches', 'boxes reach')} over an edge of their image, and all look like"
        taken.faults.append(f"{path}: field 'bbox': {told} {form}; {ANYWAY}")
    elif number >= ENOUGH:
        taken.note(f"boxes, which is all, could be {form} as well; look at some of them", number)


def reaches_over(box: Box, width: float, height: float) -> bool:
    """Whether a box (left, top, width, height) leaves its image by more than a rounding."""
    left, top, w, h = box
    return min(left / width, top / height, 1 - (left + w) / width, 1 - (top + h) / height) < -OVER


def are_corners(numbers: Box, width: float, height: float) -> bool:
    """Whether four numbers would be a box inside its image if they were left, top, right, bottom."""
    left, top, right, bottom = numbers
    return 0 <= left < right <= width * (1 + OVER) and 0 <= top < bottom <= height * (1 + OVER)
