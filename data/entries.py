"""One entry of an annotation file, checked field by field: its image's name, its captions, their boxes and ids."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core.errors import InputError
from core.texts import text_fault
from core.values import AnnotatedImage, Annotation, Box


class BoxOutsideError(InputError):
    """A box that lies wholly outside its image."""


def parse_image(value: Any, where: str, line: int) -> AnnotatedImage:
    """One entry of an annotation file; InputError names `where` and the field."""
    image = parse_name(value, where)
    entries = [(f"annotations[{n}]", entry) for n, entry in enumerate(parse_list(value, where))]
    annotations = [parse_annotation(entry, where, field) for field, entry in entries]
    refuse_equal_ids([a.id for a in annotations], where)
    merged = merge_repeats(annotations, where)
    return AnnotatedImage(image, merged, line, parse_image_id(value, where), parse_size(value, where))


def parse_annotation(entry: Any, where: str, field: str) -> Annotation:
    """One entry of `annotations`: a caption with `bbox`, or with `boxes` (several, or none), and maybe an `id`."""
    caption, boxes = parse_caption(entry, where, field), parse_boxes(entry, where, field)
    return Annotation(caption, boxes, parse_id(entry, where, field), parse_tags(entry, where, field))


def merge_repeats(annotations: Sequence[Annotation], where: str) -> tuple[Annotation, ...]:
    """Entries without ids that repeat a caption become one with all their boxes, at the place of the first.

    Raises InputError where a caption describes nothing by one entry and something by another.
    """
    merged: dict[Any, Annotation] = {}
    for number, annotation in enumerate(annotations):
        key = annotation.caption if annotation.id is None else (number, annotation.id)
        earlier = merged.get(key)
        if earlier is not None and bool(earlier.boxes_ltwh) != bool(annotation.boxes_ltwh):
            raise InputError(
                f"{where}: field 'annotations[{number}].boxes': {annotation.caption!r} describes nothing by one entry "
                "and something by another"
            )
        if earlier is not None:
            boxes = tuple(dict.fromkeys(earlier.boxes_ltwh + annotation.boxes_ltwh))
            annotation = replace(earlier, boxes_ltwh=boxes)
        merged[key] = annotation
    return tuple(merged.values())


def refuse_equal_ids(ids: Sequence[str | None], where: str) -> None:
    """Raise InputError when two entries of an image have one id."""
    first: dict[str, int] = {}
    for number, key in enumerate(ids):
        if key is not None and first.setdefault(key, number) != number:
            raise InputError(
                f"{where}: field 'annotations[{number}].id': {key!r} is the id of annotations[{first[key]}] already"
            )


def parse_name(value: Any, where: str) -> str:
    """The image's name: a relative path below the folder of images."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: not an object with 'image' and 'annotations' but {_brief(value)}")
    name = _required(value, "image", where, "image")
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise InputError(f"{where}: field 'image': not a file name but {_brief(name)}")
    if fault := text_fault(name):
        raise InputError(f"{where}: field 'image': {fault}: {_brief(name)}")
    if name.startswith("/") or ".." in name.split("/"):
        raise InputError(f"{where}: field 'image': {name!r} leads out of the folder of images")
    return name


def parse_image_id(value: dict[str, Any], where: str) -> int | str | None:
    """What results of other tools call the image: `image_id`, a whole number or a text; None where there is none."""
    key = value.get("image_id")
    if key is not None and (isinstance(key, bool) or not isinstance(key, int | str)):
        raise InputError(f"{where}: field 'image_id': neither a whole number nor a text but {_brief(key)}")
    return key


def parse_size(value: dict[str, Any], where: str) -> tuple[int, int] | None:
    """The image's `width` and `height` in pixels as the file says them; None where it does not say both."""
    if value.get("width") is None or value.get("height") is None:
        return None
    for name in ("width", "height"):
        side = value[name]
        if isinstance(side, bool) or not isinstance(side, int | float) or side != side // 1 or side < 1:
            raise InputError(f"{where}: field '{name}': not a number of pixels but {_brief(side)}")
    return int(value["width"]), int(value["height"])


def parse_list(value: dict[str, Any], where: str) -> list[Any]:
    """The entry's `annotations`, which may be an empty list."""
    entries = _required(value, "annotations", where, "annotations")
    if not isinstance(entries, list):
        raise InputError(f"{where}: field 'annotations': not a list but {_brief(entries)}")
    return entries


def parse_caption(entry: Any, where: str, field: str) -> str:
    """The entry's caption, exactly as written."""
    if not isinstance(entry, dict):
        raise InputError(f"{where}: field '{field}': not an object with 'caption' and 'bbox' but {_brief(entry)}")
    caption = _required(entry, "caption", where, f"{field}.caption")
    if not isinstance(caption, str) or not caption.strip():
        raise InputError(f"{where}: field '{field}.caption': not a text but {_brief(caption)}")
    if fault := text_fault(caption):
        raise InputError(f"{where}: field '{field}.caption': {fault}: {_brief(caption)}")
    return caption


def parse_id(entry: dict[str, Any], where: str, field: str) -> str | None:
    """The entry's id, a text or a whole number, as text; None where there is none."""
    key = entry.get("id")
    if key is None:
        return None
    if isinstance(key, bool) or not isinstance(key, str | int) or not str(key).strip():
        raise InputError(f"{where}: field '{field}.id': neither a text nor a whole number but {_brief(key)}")
    return str(key)


def parse_tags(entry: dict[str, Any], where: str, field: str) -> tuple[tuple[str, str], ...]:
    """The entry's tags: names with texts."""
    tags = entry.get("tags", {})
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise InputError(f"{where}: field '{field}.tags': not names with texts but {_brief(tags)}")
    return tuple(tags.items())


def parse_boxes(entry: dict[str, Any], where: str, field: str) -> tuple[Box, ...]:
    """The boxes of the entry's targets in pixels, each once, their numbers of the type they have in the file."""
    if "boxes" not in entry:
        return (_box(_required(entry, "bbox", where, f"{field}.bbox"), where, f"{field}.bbox"),)
    if "bbox" in entry:
        raise InputError(f"{where}: field '{field}.boxes': stands beside 'bbox'; one of the two says what is true")
    boxes = entry["boxes"]
    if not isinstance(boxes, list):
        raise InputError(f"{where}: field '{field}.boxes': not a list of boxes but {_brief(boxes)}")
    return tuple(dict.fromkeys(_box(box, where, f"{field}.boxes[{n}]") for n, box in enumerate(boxes)))


def _box(box: Any, where: str, field: str) -> Box:
    check_box(box, f"{where}: field '{field}'")
    left, top, width, height = box
    return (left, top, width, height)


def check_box(box_ltwh: Any, where: str) -> None:
    """InputError for what is no box `[left, top, width, height]`, as far as can be said without the image's size.

    BoxOutsideError for a box to the left of its image or above it.
    """
    if not isinstance(box_ltwh, list | tuple) or len(box_ltwh) != 4:
        raise InputError(f"{where}: not four numbers but {_brief(box_ltwh)}")
    if not all(_is_number(v) for v in box_ltwh):
        raise InputError(f"{where}: not four finite numbers but {_brief(box_ltwh)}")
    left, top, width, height = box_ltwh
    if width <= 0 or height <= 0:
        raise InputError(f"{where}: {_brief(box_ltwh)} has no area")
    if left + width <= 0 or top + height <= 0:
        raise BoxOutsideError(f"{where}: {_brief(box_ltwh)} lies wholly outside the image")


def _is_number(value: Any) -> bool:
    # true and false are integers in Python; an integer beyond the floats' range cannot be a place in an image
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**53 if isinstance(value, int) else math.isfinite(value)


def _required(value: dict[str, Any], key: str, where: str, field: str) -> Any:
    if key not in value:
        present = ", ".join(f"'{k}'" for k in list(value)[:5]) or "nothing"
        raise InputError(f"{where}: field '{field}': missing (the entry has {present})")
    return value[key]


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
