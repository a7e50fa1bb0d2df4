"""Prediction files and detection files: what a system answered, read with the place of every entry kept."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import InputError
from core.files import open_atomic, read_json, read_jsonl, read_text
from core.texts import text_fault
from core.values import Box, FoundBox, Prediction

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class PredictedImage:
    """One entry of a prediction file; `place` is `FILE line N` (or entry N of a JSON list)."""

    place: str
    image: str
    predictions: tuple[Prediction, ...]


def read_predictions(path: StrPath, box_format: str = "ltwh") -> list[PredictedImage]:
    """The entries of a prediction file (JSON Lines or a JSON list), in file order, repeats included.

    box_format: `ltwh` (left, top, width, height) or `xyxy`; the predictions hold ltwh. A null or empty box is a
    prediction without a box; an answer of several has `boxes`, the best first, and maybe `scores` and `confidences`;
    fields of other names are passed over. Raises InputError naming file, entry and field: a field missing or of another
    type, boxes of anything but four finite numbers, `bbox` and `boxes` together.
    """
    return [_entry(value, place, box_format) for place, value in _entries(path)]


def _entries(path: StrPath) -> Iterator[tuple[str, Any]]:
    if read_text(path).lstrip()[:1] != "[":
        for number, value in read_jsonl(path):
            yield f"{path} line {number}", value
        return
    for number, value in enumerate(read_json(path), start=1):
        yield f"{path} entry {number}", value


def _entry(value: Any, place: str, box_format: str) -> PredictedImage:
    if not isinstance(value, dict) or not isinstance(value.get("image"), str):
        raise InputError(f"{place}: field 'image': a prediction entry needs an image name{_instead(value)}")
    if not isinstance(value.get("annotations"), list):
        raise InputError(f"{place}: field 'annotations': not a list{_instead(value)}")
    image = value["image"]
    if fault := text_fault(image):
        raise InputError(f"{place}: field 'image': {fault}{_instead(value)}")
    found = []
    for number, item in enumerate(value["annotations"]):
        field = f"annotations[{number}]"
        if not isinstance(item, dict) or not isinstance(item.get("caption"), str):
            raise InputError(f"{place}: field '{field}.caption': not a text{_instead(item)}")
        if fault := text_fault(item["caption"]):
            raise InputError(f"{place}: field '{field}.caption': {fault}{_instead(item)}")
        found.append(_prediction(image, item, place, field, box_format))
    return PredictedImage(place, image, tuple(found))


def _prediction(image: str, item: dict[str, Any], place: str, field: str, box_format: str) -> Prediction:
    caption, key = item["caption"], item.get("id")
    if key is not None and (isinstance(key, bool) or not isinstance(key, str | int)):
        raise InputError(f"{place}: field '{field}.id': neither a text nor a whole number: {json.dumps(key)[:60]}")
    key = None if key is None else str(key)
    if "boxes" in item:
        if "bbox" in item:
            raise InputError(f"{place}: field '{field}.boxes': stands beside 'bbox'; one of the two is the answer")
        several = _several(item, place, field, box_format)
        if several:
            best, *others = several
            return Prediction(image, caption, best.box_ltwh, best.score, best.confidence, tuple(others), key)
        item = {**item, "bbox": None}
    if "bbox" not in item:
        raise InputError(f"{place}: field '{field}.bbox': missing; null says that there is no box{_instead(item)}")
    box = _box(item.get("bbox"), place, f"{field}.bbox", box_format)
    score, confidence = (_optional(item.get(name), place, f"{field}.{name}") for name in ("score", "confidence"))
    return Prediction(image, caption, box, score, confidence, id=key)


def _several(item: dict[str, Any], place: str, field: str, box_format: str) -> list[FoundBox]:
    """The boxes of an answer of several, as they stand: the best first."""
    boxes = item["boxes"]
    if not isinstance(boxes, list):
        raise InputError(f"{place}: field '{field}.boxes': not a list of boxes but {json.dumps(boxes)[:60]}")
    columns = []
    for name in ("scores", "confidences"):
        values = item.get(name)
        values = [None] * len(boxes) if values is None else values
        if not isinstance(values, list) or len(values) != len(boxes):
            raise InputError(f"{place}: field '{field}.{name}': not one number for each of {len(boxes)} boxes")
        columns.append([_optional(v, place, f"{field}.{name}[{n}]") for n, v in enumerate(values)])
    found = []
    for number, (value, score, confidence) in enumerate(zip(boxes, *columns, strict=True)):
        box = _box(value, place, f"{field}.boxes[{number}]", box_format)
        if box is None:
            raise InputError(f"{place}: field '{field}.boxes[{number}]': not a box but {json.dumps(value)[:60]}")
        found.append(FoundBox(box, score, confidence))
    return found


def _instead(value: Any) -> str:
    """What stands there instead, in few words."""
    if not isinstance(value, dict):
        return f", not {json.dumps(value)[:40]}"
    return f" (the entry has {', '.join(repr(key) for key in list(value)[:5]) or 'nothing'})"


def _box(value: Any, place: str, field: str, box_format: str) -> Box | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list) or len(value) != 4 or not all(_is_finite(v) for v in value):
        raise InputError(f"{place}: field '{field}': not four finite numbers but {json.dumps(value)[:60]}")
    a, b, c, d = value
    box = (a, b, c - a, d - b) if box_format == "xyxy" else (a, b, c, d)
    if not all(map(math.isfinite, box)):
        raise InputError(f"{place}: field '{field}': its sides are beyond all numbers: {json.dumps(value)[:60]}")
    return box


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**53 if isinstance(value, int) else math.isfinite(value)  # larger ones are no place, no score


def _optional(value: Any, place: str, field: str) -> float | None:
    if value is not None and not _is_finite(value):
        raise InputError(f"{place}: field '{field}': not a finite number but {json.dumps(value)[:60]}")
    return value


def write_predictions(path: StrPath, predictions: Iterable[Prediction]) -> None:
    """Write predictions as JSON Lines, one image a line in order of first appearance; atomic."""
    images: dict[str, list[dict[str, Any]]] = {}
    for p in predictions:
        images.setdefault(p.image, []).append(_written(p))
    with open_atomic(path, "w") as stream:
        for image, entries in images.items():
            stream.write(json.dumps({"image": image, "annotations": entries}, allow_nan=False) + "\n")


def _written(p: Prediction) -> dict[str, Any]:
    name = {} if p.id is None else {"id": p.id}
    if p.others:
        boxes = [[float(v) for v in f.box_ltwh] for f in p.found]
        scores, confidences = [f.score for f in p.found], [f.confidence for f in p.found]
        return {"caption": p.caption, "boxes": boxes, "scores": scores, "confidences": confidences, **name}
    box = None if p.box_ltwh is None else [float(v) for v in p.box_ltwh]
    return {"caption": p.caption, "bbox": box, "score": p.score, "confidence": p.confidence, **name}


@dataclass(frozen=True, slots=True)
class Detection:
    """One box of a detection file. `image` is the file name, or the 1-based truth line where the file has no names."""

    image: str | int
    box_ltwh: Box
    score: float


def read_detections(path: StrPath) -> list[Detection]:
    """The boxes of a COCO results file; `file_name` is the join key and `image_id` serves only where it is absent.

    Raises InputError naming file, entry and field.
    """
    values = read_json(path)
    if not isinstance(values, list):
        raise InputError(f"{path}: not a COCO results file: a JSON list of boxes")
    return [_detection(value, f"{path} entry {number}") for number, value in enumerate(values, start=1)]


def _detection(value: Any, place: str) -> Detection:
    if not isinstance(value, dict):
        raise InputError(f"{place}: not an object")
    image = value.get("file_name", value.get("image_id"))
    if not isinstance(image, str | int) or isinstance(image, bool):
        raise InputError(f"{place}: field 'file_name': missing (and 'image_id' is no number)")
    box = _box(value.get("bbox"), place, "bbox", "ltwh")
    if box is None:
        raise InputError(f"{place}: field 'bbox': missing")
    if box[2] < 0 or box[3] < 0:
        raise InputError(f"{place}: field 'bbox': width or height is negative: {list(box)}")
    if not _is_finite(value.get("score")):
        raise InputError(f"{place}: field 'score': not a finite number but {json.dumps(value.get('score'))[:60]}")
    return Detection(image, box, value["score"])


def write_detections(path: StrPath, detections: Iterable[Detection], image_ids: Mapping[str, int | str]) -> None:
    """Write a COCO results file, a box a line; atomic. `image_ids` gives each file name the id that the truth
    says, or its 1-based line there.

    An iterator of detections is never held whole: a large set's boxes at AP's confidence are a gigabyte of objects.
    """
    with open_atomic(path, "w") as stream:
        before = "[\n"
        for d in detections:
            entry = {"file_name": d.image, "image_id": image_ids.get(str(d.image)), "category_id": 1,
                     "bbox": [float(v) for v in d.box_ltwh], "score": float(d.score)}  # fmt: skip
            stream.write(before + json.dumps(entry, ensure_ascii=False, allow_nan=False))
            before = ",\n"
        stream.write("\n]\n" if before[0] == "," else "[]\n")
