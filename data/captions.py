"""The caption JSONL: one `{"image", "annotations": [{"caption", "bbox": [left, top, width, height]}]}` a line.

Captions and targets are two things. An entry may say `"boxes": [[l, t, w, h], ...]` in place of `bbox`: several
targets, or `[]`, when the caption describes nothing in the image. Without `id`s (unique within an image) a caption that
stands several times in an image is one caption with all those boxes; equal boxes are one target with several captions.

An entry of an image may say `image_id`, which COCO results join by, and the `width` and `height` it was labelled at.

A JSON list of the same objects is read too; an entry's place in it counts as its `line`. Reading checks everything that
can be known without the image. Numbers keep their type: an integer in the file is an integer in the annotation, and
in the file written from it.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import open_atomic, read_json, read_jsonl, read_text
from core.values import AnnotatedImage, Annotation, Box
from data.entries import (
    parse_boxes,
    parse_caption,
    parse_id,
    parse_image,
    parse_image_id,
    parse_list,
    parse_name,
    refuse_equal_ids,
)

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """One image's name and the captions asked about it; `line` is its 1-based place in the file.

    boxes_ltwh: a caption's boxes, None where the file does not say. ids: of the captions, None where it gives none.
    id: what results of other tools call the image.
    """

    image: str
    captions: tuple[str, ...]
    boxes_ltwh: tuple[tuple[Box, ...] | None, ...]
    ids: tuple[str | None, ...]
    line: int = 0
    id: int | str | None = None


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
    coco = _coco_images(path)
    if coco is not None:
        raise InputError(f"{path}: is a COCO file; data.read source={path} makes an annotation file of it")
    yield from read_jsonl(path)


def _coco_images(path: StrPath) -> list[Any] | None:
    """The images of a file that is one JSON object with a list of them, on one line or many; None for any other."""
    if Path(path).suffix.lower() != ".json":
        return None
    try:
        value = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError):
        return None
    images = value.get("images") if isinstance(value, dict) else None
    return images if isinstance(images, list) else None


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

    A caption that repeats without ids is asked once. Raises InputError as `read_annotations` does; a box that is given
    must be a good one.
    """
    images = [_captioned(value, place(path, line), line) for line, value in read_entries(path)]
    refuse_repeats(path, images)
    return images


def _captioned(value: Any, where: str, line: int) -> CaptionedImage:
    image, entries = parse_name(value, where), parse_list(value, where)
    asked: dict[Any, tuple[str, tuple[Box, ...] | None, str | None]] = {}
    for number, entry in enumerate(entries):
        field = f"annotations[{number}]"
        caption, name = parse_caption(entry, where, field), parse_id(entry, where, field)
        says = "boxes" in entry or entry.get("bbox") is not None
        boxes = parse_boxes(entry, where, field) if says else None
        key = caption if name is None else (number, name)
        if key in asked:
            earlier = asked[key][1]
            boxes = None if boxes is None or earlier is None else tuple(dict.fromkeys(earlier + boxes))
        asked[key] = caption, boxes, name
    captions, boxes_ltwh, ids = zip(*asked.values(), strict=True) if asked else ((), (), ())
    refuse_equal_ids(ids, where)
    return CaptionedImage(image, captions, boxes_ltwh, ids, line, parse_image_id(value, where))


def refuse_repeats(path: StrPath, images: Iterable[AnnotatedImage | CaptionedImage]) -> None:
    """Raise InputError when two entries name one image."""
    first: dict[str, int] = {}
    for entry in images:
        if entry.image in first:
            where = place(path, entry.line)
            raise InputError(f"{where}: field 'image': {entry.image!r} is already on line {first[entry.image]}")
        first[entry.image] = entry.line


def entry_of(image: AnnotatedImage) -> dict[str, Any]:
    """The JSON object that stands for one image in an annotation file."""
    more: dict[str, Any] = {} if image.id is None else {"image_id": image.id}
    more |= {} if image.size is None else {"width": image.size[0], "height": image.size[1]}
    return {"image": image.image, **more, "annotations": [_written(annotation) for annotation in image.annotations]}


def _written(annotation: Annotation) -> dict[str, Any]:
    boxes = [list(box) for box in annotation.boxes_ltwh]
    more: dict[str, Any] = {} if annotation.id is None else {"id": annotation.id}
    more |= {"tags": dict(annotation.tags)} if annotation.tags else {}
    return {"caption": annotation.caption, **({"bbox": boxes[0]} if len(boxes) == 1 else {"boxes": boxes}), **more}


def field_of(path: StrPath, image: AnnotatedImage, box: Box) -> str:
    """Which field of the file says that an image has a box, such as `annotations[2].bbox`; for messages."""
    with contextlib.suppress(InputError, KeyError, TypeError):
        entries = next(value for line, value in read_entries(path) if line == image.line)["annotations"]
        for number, entry in enumerate(entries):
            if "boxes" not in entry and tuple(entry["bbox"]) == box:
                return f"annotations[{number}].bbox"
            boxes = [tuple(other) for other in entry.get("boxes", [])]
            if box in boxes:
                return f"annotations[{number}].boxes[{boxes.index(box)}]"
    return next(f"annotations[{n}].bbox" for n, a in enumerate(image.annotations) if box in a.boxes_ltwh)


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
