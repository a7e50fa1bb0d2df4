"""Make a COCO file from an annotation file, or an annotation file from a COCO file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import read_json, write_json
from core.runs import RunConfig, RunFolder
from core.values import AnnotatedImage, Annotation, Box
from data.captions import read_annotations, refuse_repeats, write_annotations
from data.entries import check_box, merge_repeats
from data.frames import FramedImage, count_hanging, frame_image, frame_images, say_hanging
from data.placing import spare_inputs

CATEGORY = {"id": 1, "name": "target", "supercategory": "target"}


@dataclass
class CocoConfig(RunConfig):
    """Settings of `data.coco`."""

    annotations: str | None = None  # caption JSONL or JSON list
    images: str | None = None  # folder of the images, whose headers tell their sizes
    size: list[int] | None = None  # [width, height] of every image, instead of opening them
    coco: str | None = None  # a COCO file to make an annotation file of instead


def coco_of(framed: Sequence[FramedImage]) -> dict[str, Any]:
    """Annotations as a COCO data set of one category.

    Image ids are the 1-based lines of the annotation file; boxes are kept as written, `area` = width x height,
    `iscrowd` 0. One annotation a target, which carries its `caption` as one more field, or, where several describe it,
    their list as `captions`; captions that describe nothing are their image's `absent_captions`.
    """
    annotations: list[dict[str, Any]] = []
    for entry in framed:
        for target in entry.annotated.targets:
            box = list(target)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": entry.annotated.line,
                    "category_id": CATEGORY["id"],
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    **_captions(entry.annotated, target),
                }
            )
    images = [_image_entry(entry) for entry in framed]
    return {"images": images, "annotations": annotations, "categories": [CATEGORY]}


def _image_entry(framed: FramedImage) -> dict[str, Any]:
    image = framed.annotated
    absent = [a.caption for a in image.annotations if not a.boxes_ltwh]
    named = {"id": image.line, "file_name": image.image, "width": framed.width, "height": framed.height}
    return {**named, "absent_captions": absent} if absent else named


def _captions(image: AnnotatedImage, target: Box) -> dict[str, Any]:
    captions = [a.caption for a in image.annotations if target in a.boxes_ltwh]
    return {"caption": captions[0]} if len(captions) == 1 else {"captions": captions}


def read_coco(path: str | Path) -> list[AnnotatedImage]:
    """The annotations of a COCO file, images in its order; `line` is the image id where that is a positive integer.

    An annotation's captions are its `caption` or `captions`, else its category's name; a caption that stands
    several times in an image is one with several targets. Crowd regions are no objects and are left out.
    Raises InputError naming the file and the field.
    """
    value = read_json(path)
    images, annotations, categories = (_objects(value, key, path) for key in ("images", "annotations", "categories"))
    names = {c.get("id"): c.get("name") for c in categories}
    found: dict[Any, list[Annotation]] = {image.get("id"): [] for image in images}
    if len(found) < len(images):
        raise InputError(f"{path}: field 'images.id': an id is missing or used twice")
    for number, entry in enumerate(annotations):
        field = f"annotations[{number}]"
        if entry.get("image_id") not in found:
            raise InputError(f"{path}: field '{field}.image_id': {entry.get('image_id')!r} is no image's id")
        check_box(entry.get("bbox"), f"{path}: field '{field}.bbox'")
        captions = entry.get("captions", [entry.get("caption", names.get(entry.get("category_id")))])
        if not _are_texts(captions) or not captions:
            raise InputError(f"{path}: field '{field}.category_id': neither a caption nor a named category")
        if not entry.get("iscrowd"):
            left, top, width, height = entry["bbox"]
            found[entry["image_id"]] += [Annotation(caption, ((left, top, width, height),)) for caption in captions]
    result = [_annotated(path, place, image, found[image.get("id")]) for place, image in enumerate(images, start=1)]
    refuse_repeats(path, result)
    return result


def _annotated(path: str | Path, number: int, image: dict[str, Any], found: list[Annotation]) -> AnnotatedImage:
    name, key = image.get("file_name"), image.get("id")
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{path}: field 'images[{number - 1}].file_name': not a file name but {name!r}")
    line = key if isinstance(key, int) and not isinstance(key, bool) and key > 0 else number
    absent = image.get("absent_captions", [])
    if not _are_texts(absent):
        raise InputError(f"{path}: field 'images[{number - 1}].absent_captions': not a list of texts")
    found += [Annotation(caption, ()) for caption in absent]
    return AnnotatedImage(name, merge_repeats(found, f"{path} images[{number - 1}]"), line)


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) and value.strip() for value in values)


def _objects(value: Any, key: str, path: str | Path) -> list[dict[str, Any]]:
    entries = value.get(key) if isinstance(value, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: field '{key}': not a list of objects")
    return entries


def run(config: CocoConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `coco.json`, or with `coco` its `annotations.jsonl`, into the run folder; returns the counts."""
    spare_inputs(folder.path, ["coco.json", "annotations.jsonl"], [config.coco, config.annotations])
    if config.coco is not None:
        folder.add_parent(config.coco)
        images = read_coco(config.coco)
        write_annotations(folder.path / "annotations.jsonl", images)
        return {"num_images": len(images), "num_boxes": sum(len(image.targets) for image in images)}
    if config.annotations is None:
        raise InputError("annotations: must be given: annotations=...")
    folder.add_parent(config.annotations)
    framed = _framed(config, config.annotations)
    value = coco_of(framed)
    write_json(folder.path / "coco.json", value)
    return {
        "num_images": len(framed),
        "num_boxes": len(value["annotations"]),
        "num_partly_outside": count_hanging(framed),
    }


def _framed(config: CocoConfig, source: str) -> list[FramedImage]:
    annotated = read_annotations(source)
    if config.size is None:
        if config.images is None:
            raise InputError("images: must be given (images=DIR), or the size of every image (size=[WIDTH,HEIGHT])")
        return frame_images(source, annotated, config.images)
    if len(config.size) != 2 or min(config.size) < 1:
        raise InputError(f"size: {list(config.size)} is not [width, height] in pixels")
    width, height = config.size
    framed = [frame_image(source, image, (width, height)) for image in annotated]
    say_hanging(source, framed)
    return framed


def main(argv: list[str] | None = None) -> None:
    """Run the command `data.coco`."""
    from grounder.command import run_command

    run_command("data.coco", CocoConfig, run, argv)


if __name__ == "__main__":
    main()
