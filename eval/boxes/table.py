"""True and found boxes of a whole set as plain columns, joined by image name."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.counting import count
from core.errors import InputError
from core.records import Detection
from core.values import AnnotatedImage


@dataclass(frozen=True, slots=True)
class BoxTable:
    """Boxes of `num_images` images, true ones or found ones.

    image: (N,) place of each box's image in the truth, 0-based. box_ltwh: (N, 4) float64 pixels.
    score: (N,) float64, higher is better; ones for true boxes.
    """

    image: NDArray[np.intp]
    box_ltwh: NDArray[np.float64]
    score: NDArray[np.float64]
    num_images: int

    def __len__(self) -> int:
        return len(self.image)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "BoxTable":
        """The boxes at `index` (integers or a mask), in that order."""
        return BoxTable(self.image[index], self.box_ltwh[index], self.score[index], self.num_images)

    def rank_within_image(self) -> NDArray[np.intp]:
        """(N,) place of each box among its image's boxes, in table order."""
        order = np.argsort(self.image, kind="stable")
        starts = np.searchsorted(self.image[order], np.arange(self.num_images))
        rank = np.empty(len(self), np.intp)
        rank[order] = np.arange(len(self)) - starts[self.image[order]]
        return rank

    def by_image_and_score(self) -> "BoxTable":
        """The same boxes image after image, each image's by descending score (ties: table order)."""
        return self.take(np.lexsort((-self.score, self.image)))


def make_table(
    image: Sequence[int] | NDArray[np.intp],
    box_ltwh: Sequence[Sequence[float]] | NDArray[np.floating],
    score: Sequence[float] | NDArray[np.floating],
    num_images: int,
) -> BoxTable:
    """A table from columns of any number type."""
    boxes = np.asarray(box_ltwh, np.float64).reshape(-1, 4)
    return BoxTable(
        np.asarray(image, np.intp).reshape(-1), boxes, np.asarray(score, np.float64).reshape(-1), num_images
    )


def truth_table(truth: Sequence[AnnotatedImage]) -> BoxTable:
    """Every target of an annotation file; equal boxes of an image are one, whatever the number of captions."""
    targets = [entry.targets for entry in truth]
    image = [place for place, own in enumerate(targets) for _ in own]
    boxes = [box for own in targets for box in own]
    return make_table(image, boxes, np.ones(len(boxes)), len(truth))


def detection_table(
    detections: Sequence[Detection], truth: Sequence[AnnotatedImage], path: str | os.PathLike[str]
) -> BoxTable:
    """Every found box, by its image's place in the truth.

    A detection names its image, or gives the truth line where the file has no names. Raises InputError when it names
    one that the truth does not have, with the count and the first names.
    """
    places: dict[str | int, int] = {entry.line or number: number - 1 for number, entry in enumerate(truth, start=1)}
    places |= {entry.image: place for place, entry in enumerate(truth)}
    strangers = [d.image for d in detections if d.image not in places]
    if strangers:
        names = list(dict.fromkeys(map(str, strangers)))
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        what = f"{count(len(strangers), 'detection')} of {count(len(names), 'image')}"
        raise InputError(f"{path}: {what} {'is' if len(strangers) == 1 else 'are'} not in the truth: {shown}")
    return make_table(
        [places[d.image] for d in detections],
        [d.box_ltwh for d in detections],
        [d.score for d in detections],
        len(truth),
    )
