"""COCO: `images`, `annotations` and `categories` in one JSON file, or a folder of them, as Roboflow and CVAT write it.

A box's captions are its `caption` or `captions`, a text in its `attributes` (CVAT), or its category's name. Where
there is no `bbox`, the box round the polygon or mask stands for it. Crowd regions are no objects and are left out. The
images' ids are kept, so that results which name images by them find their truth.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.values import AnnotatedImage, Annotation
from data.formats.origins import captions_of, texts
from data.formats.source import Source, json_value, objects
from data.formats.taken import Gathering, Size, Taken, size_of

ABOUT = "COCO: a JSON file with 'images', 'annotations' and 'categories', or a folder of such files"
OURS = {"description": "written by grounder data.write"}  # its sizes were read from the images themselves
ROBOFLOW = "_annotations.coco.json"
PARTS = {"valid": "val", "validation": "val"}


def recognises(source: Source) -> bool:
    """Whether there is a file of images and annotations."""
    return bool(_files(source))


def read(source: Source) -> Taken:
    """Every image of every file, a part a file; InputError for a file that is no such object."""
    taken = Taken()
    found = _files(source)
    for part, (path, value) in found.items():
        part = part if len(found) > 1 else "annotations"
        taken.parts[part] = _Reading(source, path, value, taken).images()
        if path.name == ROBOFLOW:
            taken.folders[part] = path.parent
    return taken


def _files(source: Source) -> dict[str, tuple[Path, Any]]:
    """(path, value) of the COCO files of a source by the names of their parts."""
    if source.path.is_file():
        return {"annotations": (source.path, source.value)} if _is_coco(source.value) else {}
    if not source.path.is_dir():
        return {}
    paths = [*source.path.glob("*.json"), *source.path.glob("annotations/*.json"), *source.path.glob(f"*/{ROBOFLOW}")]
    instances = [path for path in paths if path.name.startswith("instances_")]
    values = ((path, json_value(path)) for path in sorted(instances or paths))
    return {_part(path): (path, value) for path, value in values if _is_coco(value)}


def _is_coco(value: Any) -> bool:
    return isinstance(value, dict) and {"images", "annotations"} <= value.keys()


def _part(path: Path) -> str:
    name = path.parent.name if path.name == ROBOFLOW else path.stem.removeprefix("instances_")
    return PARTS.get(name.lower(), name)


class _Reading:
    """One file on its way into our form."""

    def __init__(self, source: Source, path: Path, value: Any, taken: Taken) -> None:
        self._source, self._path, self._taken = source, path, taken
        self._images, self._annotations = objects(value, "images", path), objects(value, "annotations", path)
        categories = value.get("categories") or []
        named = [c for c in categories if isinstance(c, dict)] if isinstance(categories, list) else []
        self._categories = {_key(c.get("id")): _name(c.get("name")) for c in named}
        twice = [str(c.get("id")) for c in named if self._categories[_key(c.get("id"))] != _name(c.get("name"))]
        if twice:
            taken.faults.append(f"{path}: field 'categories.id': {twice[0]} is the id of two categories")
        self._is_ours = value.get("info") == OURS
        self._gathering = Gathering(taken, source)
        self._names: dict[str, str | None] = {}  # by the id; None: the image itself is at fault

    def images(self) -> list[AnnotatedImage]:
        """Its images with their captions."""
        for number, entry in enumerate(self._images):
            self._add_image(number, entry)
        for number, entry in enumerate(self._annotations):
            self._add(f"annotations[{number}]", entry)
        for number, entry in enumerate(self._images):
            self._add_absent(number, entry)
        images = self._gathering.images(str(self._path))
        if self._is_ours and all(image.id == image.line for image in images):
            return [replace(image, id=None) for image in images]  # a file of ours without ids is so again
        return images

    def _where(self, field: str) -> str:
        return f"{self._path}: field '{field}'"

    def _add_image(self, number: int, entry: dict[str, Any]) -> None:
        key, field = _plain(entry.get("id")), f"images[{number}]"
        if isinstance(key, bool) or not isinstance(key, int | str) or str(key) in self._names:
            raise InputError(f"{self._where('images.id')}: an id is missing or used twice ({field}: {key!r})")
        size = None if self._is_ours else size_of(entry.get("width"), entry.get("height"))
        name = self._gathering.image(entry.get("file_name"), self._where(f"{field}.file_name"), key, size)
        self._names[str(key)] = name

    def _add(self, field: str, entry: dict[str, Any]) -> None:
        key = _key(entry.get("image_id"))
        if key not in self._names:
            self._taken.faults.append(f"{self._where(f'{field}.image_id')}: {entry.get('image_id')!r} is no image's id")
            return
        image = self._names[key]
        if image is None:
            self._taken.note("boxes left out with their images")
        elif str(entry.get("iscrowd")).lower() in {"1", "1.0", "true"}:
            self._taken.note("crowd regions left out: they are no objects")
        else:
            self._add_box(field, entry, image)

    def _add_box(self, field: str, entry: dict[str, Any], image: str) -> None:
        where = self._where(f"{field}.bbox")
        try:
            box = entry["bbox"] if entry.get("bbox") else self._round(entry)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            self._taken.faults.append(f"{self._where(f'{field}.segmentation')}: cannot be read ({error})")
            return
        good = self._gathering.good([box], [where], self._gathering.size(image))
        category = self._categories.get(_key(entry.get("category_id")))
        said = [*_texts(entry.get("caption")), *_texts(entry.get("captions"))]
        attributes = texts(entry.get("attributes"))
        if good:
            place = self._where(f"{field}.category_id")
            captions = captions_of(self._source.captions, said, attributes, category, place, self._taken)
            for caption in captions:
                if self._gathering.caption(caption, self._where(f"{field}.caption")):
                    self._gathering.add(image, where, Annotation(caption, tuple(good)))

    def _round(self, entry: dict[str, Any]) -> Any:
        """The box round the entry's polygons or mask; None, which is no box, where it has neither."""
        shape = entry.get("segmentation")
        if not shape:
            return None
        if isinstance(shape, dict):
            size = self._gathering.size(str(self._names[_key(entry.get("image_id"))]))
            return _round_mask(shape, size)
        if any(len(polygon) < 6 or len(polygon) % 2 for polygon in shape):
            raise ValueError("a polygon of fewer than three points, or of half a one")
        numbers = [float(number) for polygon in shape for number in polygon]
        left, top = min(numbers[::2]), min(numbers[1::2])
        self._taken.note("boxes drawn round polygons")
        return [left, top, max(numbers[::2]) - left, max(numbers[1::2]) - top]

    def _add_absent(self, number: int, entry: dict[str, Any]) -> None:
        """The captions that describe nothing in an image, as our own files list them."""
        image = self._names[_key(entry["id"])]
        for caption in _texts(entry.get("absent_captions")):
            field = self._where(f"images[{number}].absent_captions")
            if image is not None and self._gathering.caption(caption, field):
                self._gathering.add(image, field, Annotation(caption, ()))
                self._taken.from_where("absent_captions")


def _plain(value: Any) -> Any:
    """An id as it is meant: tables write whole numbers as `1.0`."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _key(value: Any) -> str:
    return str(_plain(value))


def _name(value: Any) -> str | None:
    """A category's name; numbers are names too."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _round_mask(mask: dict[str, Any], size: Size | None) -> list[float]:
    """The box round a run-length encoded mask, packed or as a list of its runs; ValueError for one of another size."""
    from pycocotools import mask as masks

    height, width = mask["size"]
    if size is not None and (width, height) != size:
        raise ValueError(f"a mask of {width} x {height} on an image of {size[0]} x {size[1]}")
    if isinstance(mask["counts"], list) and sum(mask["counts"]) != width * height:
        raise ValueError(f"a mask of {sum(mask['counts'])} pixels in all, not {width} x {height}")
    packed = masks.frPyObjects(mask, height, width) if isinstance(mask["counts"], list) else mask
    return [float(v) for v in masks.toBbox(packed)]


def _texts(value: Any) -> Iterator[str]:
    """A text, or the texts of a list."""
    values = value if isinstance(value, list) else [value]
    yield from (text for text in values if isinstance(text, str) and text.strip())
