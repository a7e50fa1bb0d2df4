"""MDETR-style JSON: RefDrone, RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO as MDETR and MMDetection train on them.

COCO with one entry of `images` **a caption** (`id`, `file_name`, `width`, `height`, `caption`), so an annotation's
`image_id` is a caption's id; it becomes the `id` of the entry, because captions repeat. A caption that describes
nothing has one annotation without a target: `empty` true, or `category_id` -1, or a box of zeros. `category_id` may be
a text. Boxes are left, top, width, height in pixels.
"""

from typing import Any

from core.errors import InputError
from core.values import Annotation
from data.formats.source import Source
from data.formats.taken import Gathering, Taken, size_of, text_of

ABOUT = "MDETR-style JSON (RefDrone, RefCOCO, RefCOCO+, RefCOCOg, gRefCOCO): one entry of 'images' a caption"


def recognises(source: Source) -> bool:
    """Whether the entries of `images` carry captions."""
    images = source.value.get("images") if isinstance(source.value, dict) else None
    return isinstance(images, list) and bool(images) and isinstance(images[0], dict) and "caption" in images[0]


def read(source: Source) -> Taken:
    """Every caption with its boxes; InputError for broken fields and for annotations of unknown captions."""
    captions, annotations = source.objects("images"), source.objects("annotations")
    boxes: dict[Any, list[tuple[int, dict[str, Any]]]] = {entry.get("id"): [] for entry in captions}
    if None in boxes or len(boxes) < len(captions):
        raise InputError(f"{source.path}: field 'images.id': an id is missing or used twice")
    for number, entry in enumerate(annotations):
        if entry.get("image_id") not in boxes:
            raise InputError(
                f"{source.path}: field 'annotations[{number}].image_id': {entry.get('image_id')!r} is no caption's id"
            )
        boxes[entry["image_id"]].append((number, entry))
    taken = Taken()
    gathering = Gathering(taken, source)
    for number, entry in enumerate(captions):
        _add(source, number, entry, boxes[entry["id"]], gathering, taken)
    taken.parts["annotations"] = gathering.images(str(source.path))
    return taken


def _add(
    source: Source,
    number: int,
    entry: dict[str, Any],
    said: list[tuple[int, dict[str, Any]]],
    gathering: Gathering,
    taken: Taken,
) -> None:
    where = f"{source.path}: field 'images[{number}]"
    caption = text_of(entry.get("caption"), str(source.path), f"images[{number}].caption")
    real = [(n, annotation) for n, annotation in said if not _is_empty(annotation)]
    places = [f"{source.path}: field 'annotations[{n}].bbox'" for n, _ in real]
    good = gathering.good([annotation.get("bbox") for _, annotation in real], places, _size(entry))
    taken.note("captions without any annotation, taken as describing nothing", int(not said))
    if real and not good:
        taken.note("captions left out with their boxes")
        return
    taken.note("boxes given twice for one caption", len(good) - len(set(good)))
    annotation = Annotation(caption, tuple(dict.fromkeys(good)), str(entry["id"]))
    name = gathering.image(entry.get("file_name"), f"{where}.file_name'", size=_whole_size(entry), once=False)
    if name is not None:
        taken.from_where("caption")
        gathering.add(name, where, annotation)


def _is_empty(annotation: dict[str, Any]) -> bool:
    """Whether an annotation says that its caption describes nothing."""
    return (
        annotation.get("empty") in (True, 1)
        or str(annotation.get("category_id")) == "-1"
        or annotation.get("bbox") == [0, 0, 0, 0]
    )


def _whole_size(entry: dict[str, Any]) -> tuple[int, int] | None:
    return size_of(entry.get("width"), entry.get("height"))


def _size(entry: dict[str, Any]) -> tuple[float, float] | None:
    width, height = entry.get("width"), entry.get("height")
    return (width, height) if isinstance(width, int | float) and isinstance(height, int | float) else None
