"""What a reader took of a source, gathered caption by caption, and what it left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.texts import text_fault
from core.values import AnnotatedImage, Annotation, Box
from data.entries import BoxOutsideError, check_box, merge_repeats, parse_name, refuse_equal_ids
from data.formats.source import Names, Source

Size = tuple[int, int]


@dataclass
class Taken:
    """The images of each part (`annotations` where there is only one), and what was passed over.

    faults: what cannot be used, each as `FILE: field ...: what is wrong`. notes: other things worth a line, with their
    numbers. origins: how many captions came from where. folders: of parts that bring their images, where those are.
    doubts: of each box of known place, whether it reaches over an edge and whether its numbers could be two corners.
    """

    parts: dict[str, list[AnnotatedImage]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    origins: dict[str, int] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    doubts: list[tuple[bool, bool]] = field(default_factory=list)

    def note(self, what: str, number: int = 1) -> None:
        """Count something worth a line."""
        if number:
            self.notes[what] = self.notes.get(what, 0) + number

    def from_where(self, origin: str) -> None:
        """Count where a caption came from."""
        self.origins[origin] = self.origins.get(origin, 0) + 1

    def rows(self) -> list[dict[str, Any]]:
        """A line of the table for each part: images, those without captions, captions by their boxes, targets."""
        rows = []
        for part, images in self.parts.items():
            numbers = [len(a.boxes_ltwh) for image in images for a in image.annotations]
            one, none = numbers.count(1), numbers.count(0)
            empty = sum(not image.annotations for image in images)
            rows.append({"part": part, "images": len(images), "empty": empty, "captions": len(numbers), "one box": one,
                         "several": len(numbers) - one - none, "none": none,
                         "targets": sum(len(image.targets) for image in images)})  # fmt: skip
        return rows


@dataclass
class _Gathered:
    where: str
    annotations: list[Annotation] = field(default_factory=list)
    id: int | str | None = None
    size: Size | None = None


class Gathering:
    """Captions by image, in order of first appearance."""

    def __init__(self, taken: Taken, source: Source | None = None) -> None:
        self._taken = taken
        self._names = source.names if source is not None else Names.keep
        self._images: dict[str, _Gathered] = {}

    def image(
        self, name: Any, where: str, key: int | str | None = None, size: Size | None = None, once: bool = True
    ) -> str | None:
        """Add an image, which need not have captions; its name, or None where that is a fault of `where`.

        where: `FILE: field 'NAME'` of the name. once: a second image of the name is a fault.
        """
        if isinstance(name, str) and self._names is Names.base:
            name = name.replace("\\", "/").rpartition("/")[2]
        fault = _name_fault(name)
        if fault is None and once and name in self._images:
            fault = f"{name!r} is the name of an earlier image already"
        if fault is not None:
            self._taken.faults.append(f"{where}: {fault}")
            return None
        gathered = self._images.setdefault(name, _Gathered(where))
        gathered.id = key if gathered.id is None else gathered.id
        gathered.size = size if gathered.size is None else gathered.size
        return str(name)

    def size(self, image: str) -> Size | None:
        """The size that the file says an image of it has."""
        return self._images[image].size

    def add(self, image: str, where: str, annotation: Annotation) -> None:
        """Add a caption to its image; InputError, naming `where`, for a name that leads out of the images' folder."""
        self._images.setdefault(parse_name({"image": image}, where), _Gathered(where)).annotations.append(annotation)

    def caption(self, text: str, where: str) -> bool:
        """Whether a text can be a caption; what cannot becomes a fault of `where`."""
        fault = text_fault(text) if text.strip() else "the caption is empty"
        if fault:
            self._taken.faults.append(f"{where}: {fault}")
        return not fault

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
        for line, (image, entry) in enumerate(self._images.items(), start=1):
            told = f"{where}, image {image}"
            refuse_equal_ids([annotation.id for annotation in entry.annotations], told)
            merged = merge_repeats(entry.annotations, told)
            found.append(AnnotatedImage(image, merged, line, entry.id, entry.size))
        return found


def _name_fault(name: Any) -> str | None:
    """What is wrong with a name of an image, and how to go on; None where nothing is."""
    other = "names=base keeps what follows the last folder"
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        return f"not a file name but {name!r}"
    if "\\" in name:
        return f"{name!r} has backslashes; {other}"
    if name.startswith("/") or ".." in name.split("/"):
        return f"{name!r} leads out of the folder of images; {other}"
    return text_fault(name)


def text_of(value: Any, where: str, name: str) -> str:
    """A text that says something; InputError names the field."""
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: field '{name}': missing or not a text")
    return value


def size_of(width: Any, height: Any) -> Size | None:
    """(width, height) as a file says them, numbers or texts; None where it says no such thing."""
    try:
        size = int(float(width)), int(float(height))
    except (TypeError, ValueError, OverflowError):
        return None
    return size if min(size) > 0 else None


def whole(value: float) -> float:
    """A number of pixels, to nine decimals; what is within a millionth of a whole pixel is that one."""
    nearest = round(value)
    return nearest if abs(value - nearest) < 1e-6 else round(value, 9)
