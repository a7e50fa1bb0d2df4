"""The caption JSONL: one `{"image", "annotations": [{"caption", "bbox": [left, top, width, height]}]}` a line.

A JSON list of the same objects is read too; an entry's place in it counts as its `line`. Reading checks everything that
can be known without the image. Numbers keep their type: an integer in the file is an integer in the annotation, and
in the file written from it.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import open_atomic, read_json, read_jsonl, read_text
from core.texts import text_fault
from core.values import AnnotatedImage, Annotation, Box

StrPath = str | os.PathLike[str]


class BoxOutsideError(InputError):
    """A box that lies wholly outside its image."""


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """One image's name and the captions asked about it; `line` is its 1-based place in the file.

    boxes_ltwh: one box a caption, None where the file gives none.
    """

    image: str
    captions: tuple[str, ...]
    boxes_ltwh: tuple[Box | None, ...]
    line: int = 0


def place(path: StrPath, line: int) -> str:
    """How messages name an entry: `FILE line N`; of a JSON list, the line it begins on and its place in the list."""
    try:
        status = os.stat(path)
    except OSError:
        return f"{path} line {line}"
    begins = _entry_lines(str(path), status.st_size, status.st_mtime_ns)
    return f"{path} line {begins[line - 1]} (entry {line})" if 0 < line <= len(begins) else f"{path} line {line}"


@lru_cache(maxsize=16)
def _entry_lines(path: str, size: int, changed_ns: int) -> tuple[int, ...]:
    """The lines on which the entries of a JSON list begin, up to the first fault; empty for any other file."""
    with open(path, encoding="utf-8", errors="replace") as stream:
        if stream.read(64).lstrip()[:1] != "[":
            return ()
        stream.seek(0)
        text = stream.read()
    decoder, lines = json.JSONDecoder(), []
    line, counted, at = 1, 0, text.index("[") + 1
    with contextlib.suppress(json.JSONDecodeError, IndexError, RecursionError):
        while True:
            while text[at] in " \t\r\n,":
                at += 1
            line, counted = line + text.count("\n", counted, at), at
            lines.append(line)
            at = decoder.raw_decode(text, at)[1]
    return tuple(lines)


def is_json_list(path: StrPath) -> bool:
    """Whether the file holds one JSON list rather than one object a line."""
    return read_text(path).lstrip()[:1] == "["


def read_entries(path: StrPath) -> Iterator[tuple[int, Any]]:
    """The raw JSON values of an annotation file with their lines; InputError when the file is not JSON."""
    if is_json_list(path):
        yield from enumerate(read_json(path), start=1)
        return
    if _is_coco(path):
        raise InputError(f"{path}: is a COCO file; data.coco coco={path} makes an annotation file of it")
    yield from read_jsonl(path)


def _is_coco(path: StrPath) -> bool:
    """Whether the file is one JSON object with a list of images, on one line or many."""
    if Path(path).suffix.lower() != ".json":
        return False
    try:
        value = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("images"), list)


def read_annotations(path: StrPath) -> list[AnnotatedImage]:
    """Every image of an annotation file, in file order.

    Raises InputError naming file, line and field: broken JSON, a field missing or of the wrong type, a box that is not
    four finite numbers, has no area or lies wholly left of or above the image, an image named twice. A box that hangs
    over an edge is kept as it stands. Fields of other names are passed over.
    """
    images = [parse_image(value, place(path, line), line) for line, value in read_entries(path)]
    refuse_repeats(path, images)
    return images


def read_captions(path: StrPath) -> list[CaptionedImage]:
    """Every image and its captions, from an annotation file whose boxes may be absent (or null), as in a test set.

    Raises InputError as `read_annotations` does; a box that is given must be a good one.
    """
    images = []
    for line, value in read_entries(path):
        where = place(path, line)
        image, entries = parse_name(value, where), parse_list(value, where)
        fields = [(f"annotations[{i}]", entry) for i, entry in enumerate(entries)]
        captions = tuple(parse_caption(entry, where, field) for field, entry in fields)
        boxes = tuple(None if e.get("bbox") is None else parse_box(e, where, field) for field, e in fields)
        images.append(CaptionedImage(image, captions, boxes, line))
    refuse_repeats(path, images)
    return images


def refuse_repeats(path: StrPath, images: Iterable[AnnotatedImage | CaptionedImage]) -> None:
    """Raise InputError when two entries name one image."""
    first: dict[str, int] = {}
    for entry in images:
        if entry.image in first:
            where = place(path, entry.line)
            raise InputError(f"{where}: field 'image': {entry.image!r} is already on line {first[entry.image]}")
        first[entry.image] = entry.line


def parse_image(value: Any, where: str, line: int) -> AnnotatedImage:
    """One entry of an annotation file; InputError names `where` and the field."""
    image = parse_name(value, where)
    annotations = []
    for number, entry in enumerate(parse_list(value, where)):
        field = f"annotations[{number}]"
        annotations.append(Annotation(parse_caption(entry, where, field), parse_box(entry, where, field)))
    return AnnotatedImage(image, tuple(annotations), line)


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


def parse_list(value: dict[str, Any], where: str) -> list[Any]:
    """The entry's `annotations`, which may be an empty list."""
    entries = _required(value, "annotations", where, "annotations")
    if not isinstance(entries, list):
        raise InputError(f"{where}: field 'annotations': not a list but {_brief(entries)}")
    return entries


def parse_caption(entry: Any, where: str, field: str) -> str:
    """The annotation's caption, exactly as written."""
    if not isinstance(entry, dict):
        raise InputError(f"{where}: field '{field}': not an object with 'caption' and 'bbox' but {_brief(entry)}")
    caption = _required(entry, "caption", where, f"{field}.caption")
    if not isinstance(caption, str) or not caption.strip():
        raise InputError(f"{where}: field '{field}.caption': not a text but {_brief(caption)}")
    if fault := text_fault(caption):
        raise InputError(f"{where}: field '{field}.caption': {fault}: {_brief(caption)}")
    return caption


def parse_box(entry: dict[str, Any], where: str, field: str) -> Box:
    """The annotation's box in pixels, its numbers of the type they have in the file."""
    box = _required(entry, "bbox", where, f"{field}.bbox")
    check_box(box, f"{where}: field '{field}.bbox'")
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


def entry_of(image: AnnotatedImage) -> dict[str, Any]:
    """The JSON object that stands for one image in an annotation file."""
    annotations = [{"caption": a.caption, "bbox": list(a.box_ltwh)} for a in image.annotations]
    return {"image": image.image, "annotations": annotations}


def write_annotations(path: StrPath, images: Iterable[AnnotatedImage]) -> None:
    """Write images as JSONL, or as a JSON list when the name ends in `.json`; atomic, and exact to read again."""
    lines = (json.dumps(entry_of(image), ensure_ascii=False, allow_nan=False) for image in images)
    with open_atomic(path, "w") as stream:
        if Path(path).suffix.lower() == ".json":
            stream.write("[" + ",\n".join(lines) + "]\n")
        else:
            stream.writelines(f"{line}\n" for line in lines)


def read_lines(path: StrPath) -> list[str]:
    """The entries of an annotation file as lines of JSON: of a JSONL the lines themselves, byte for byte."""
    if is_json_list(path):
        return [json.dumps(value, ensure_ascii=False) for _, value in read_entries(path)]
    text = Path(path).read_text(encoding="utf-8")
    return [line.removesuffix("\r") for line in text.split("\n") if line.strip()]


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write lines of JSON, each with its newline, atomically."""
    with open_atomic(path, "w") as stream:
        stream.writelines(f"{line}\n" for line in lines)
