"""What a reader took of a source, gathered caption by caption, and what it left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import InputError
from core.values import AnnotatedImage, Annotation, Box
from data.entries import BoxOutsideError, check_box, merge_repeats, parse_name, refuse_equal_ids


@dataclass
class Taken:
    """The images of each part (`annotations` where there is only one), and what was passed over.

    faults: boxes that cannot be used, each as `FILE: field ...: what is wrong`. notes: other things worth a line, with
    their numbers.
    """

    parts: dict[str, list[AnnotatedImage]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)

    def note(self, what: str, number: int = 1) -> None:
        """Count something worth a line."""
        if number:
            self.notes[what] = self.notes.get(what, 0) + number

    def rows(self) -> list[dict[str, Any]]:
        """A line of the table for each part: images, captions with one, several and no box, targets."""
        rows = []
        for part, images in self.parts.items():
            numbers = [len(a.boxes_ltwh) for image in images for a in image.annotations]
            one, none = numbers.count(1), numbers.count(0)
            rows.append({"part": part, "images": len(images), "captions": len(numbers), "one box": one,
                         "several": len(numbers) - one - none, "none": none,
                         "targets": sum(len(image.targets) for image in images)})  # fmt: skip
        return rows


class Gathering:
    """Captions by image, in order of first appearance."""

    def __init__(self, taken: Taken) -> None:
        self._taken = taken
        self._images: dict[str, list[Annotation]] = {}

    def add(self, image: str, where: str, annotation: Annotation) -> None:
        """Add a caption to its image; InputError, naming `where`, for a name that leads out of the images' folder."""
        self._images.setdefault(parse_name({"image": image}, where), []).append(annotation)

    def good(self, boxes: Sequence[Any], where: Sequence[str], size: tuple[float, float] | None) -> list[Box]:
        """The boxes `[left, top, width, height]` that can be used; the others become faults of their places `where`.

        size: of the image in pixels, where the file tells it.
        """
        kept = []
        for box, place in zip(boxes, where, strict=True):
            try:
                check_box(box, place)
                if size is not None and (box[0] >= size[0] or box[1] >= size[1]):
                    beyond = f"{list(box)} lies wholly outside the {size[0]:g} x {size[1]:g} image"
                    raise BoxOutsideError(f"{place}: {beyond}")
                kept.append((box[0], box[1], box[2], box[3]))
            except InputError as error:
                self._taken.faults.append(str(error))
        return kept

    def images(self, where: str) -> list[AnnotatedImage]:
        """The images with their captions; InputError for two ids alike in one image."""
        found = []
        for line, (image, annotations) in enumerate(self._images.items(), start=1):
            refuse_equal_ids([annotation.id for annotation in annotations], f"{where}, image {image}")
            found.append(AnnotatedImage(image, merge_repeats(annotations, f"{where}, image {image}"), line))
        return found


def text_of(value: Any, where: str, name: str) -> str:
    """A text that says something; InputError names the field."""
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: field '{name}': missing or not a text")
    return value
