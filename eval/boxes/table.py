"""True and found boxes of a whole set as plain columns, joined by image name."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.counting import count
from core.errors import InputError
from core.records import Detection
from core.texts import alike
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


class ImageIds(Enum):
    """What the image ids of detections without file names are."""

    auto = "auto"
    id = "id"
    line = "line"
    stem = "stem"


def detection_table(
    detections: Sequence[Detection],
    truth: Sequence[AnnotatedImage],
    path: str | os.PathLike[str],
    image_ids: ImageIds = ImageIds.auto,
) -> BoxTable:
    """Every found box, by its image's place in the truth.

    A detection names its image, or gives an id where the file has no names: the id that the truth carries, and where it
    carries none, its line or the number in the file's name. Raises InputError for an id that can be read in two ways,
    and when one is not of the truth, with the count and the first names.
    """
    names: dict[str | int, int] = {entry.image: place for place, entry in enumerate(truth)}
    forms = alike({d.image for d in detections if isinstance(d.image, str)}, (entry.image for entry in truth))
    names |= {name: names[other] for name, other in forms.items() if other in names}
    ids = list(dict.fromkeys(d.image for d in detections if d.image not in names))
    places = names | (_places_of(ids, truth, path, image_ids) if ids else {})
    strangers = [d.image for d in detections if d.image not in places]
    if strangers:
        unknown = list(dict.fromkeys(map(str, strangers)))
        shown = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        what = f"{count(len(strangers), 'detection')} of {count(len(unknown), 'image')}"
        raise InputError(f"{path}: {what} {'is' if len(strangers) == 1 else 'are'} not in the truth: {shown}")
    return make_table(
        [places[d.image] for d in detections],
        [d.box_ltwh for d in detections],
        [d.score for d in detections],
        len(truth),
    )


def _places_of(
    ids: Sequence[str | int], truth: Sequence[AnnotatedImage], path: str | os.PathLike[str], wanted: ImageIds
) -> dict[str | int, int]:
    """The places in the truth of images that are called by ids, by the one reading that all of the ids allow."""
    keys: dict[ImageIds, list[str | int | None]] = {
        ImageIds.id: [entry.id for entry in truth],
        ImageIds.line: [entry.line or number for number, entry in enumerate(truth, start=1)],
        ImageIds.stem: [_stem(entry.image) for entry in truth],
    }
    if wanted is ImageIds.auto and any(key is not None for key in keys[ImageIds.id]):
        wanted = ImageIds.id  # the truth says what its images are called
    if wanted is not ImageIds.auto:
        return _by_key(keys[wanted], truth, path)
    line, stem = ({key: place for place, key in enumerate(keys[which])} for which in (ImageIds.line, ImageIds.stem))
    fitting = [reading for reading in (line, stem) if all(key in reading for key in ids)]
    other = next((key for key in ids if len(fitting) > 1 and line[key] != stem[key]), None)
    if other is not None:
        raise InputError(
            f"{path}: field 'image_id': {other} can be line {other} of the truth ({truth[line[other]].image}) or the "
            f"number in a file name ({truth[stem[other]].image}); image_ids=line or image_ids=stem says which"
        )
    if fitting and fitting[0] is stem:
        return _by_key(keys[ImageIds.stem], truth, path)
    return {key: place for key, place in line.items() if key is not None}


def _by_key(
    keys: Sequence[str | int | None], truth: Sequence[AnnotatedImage], path: str | os.PathLike[str]
) -> dict[str | int, int]:
    """The places by their keys; InputError for one that two images have."""
    places: dict[str | int, int] = {}
    for place, key in enumerate(keys):
        if key is not None and places.setdefault(key, place) != place:
            first, second = truth[places[key]].image, truth[place].image
            raise InputError(f"{path}: field 'image_id': {key} is the id of {first} and of {second} in the truth")
    return places


def _stem(name: str) -> str | int:
    """The name of a file without its folders and suffix; a number where it is one, as YOLO's validation writes ids."""
    stem = Path(name).stem
    return int(stem) if stem.isdecimal() and stem.isascii() else stem
