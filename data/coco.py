"""Make a COCO file from an annotation file, or an annotation file from a COCO file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import read_json, write_json
from core.runs import RunConfig, RunFolder
from core.values import AnnotatedImage, Annotation
from data.captions import check_box, read_annotations, refuse_repeats, write_annotations
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
    `iscrowd` 0; each annotation carries its `caption` as one more field.
    """
    images = [
        {"id": f.annotated.line, "file_name": f.annotated.image, "width": f.width, "height": f.height} for f in framed
    ]
    annotations: list[dict[str, Any]] = []
    for entry in framed:
        for annotation in entry.annotated.annotations:
            box = list(annotation.box_ltwh)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": entry.annotated.line,
                    "category_id": CATEGORY["id"],
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "caption": annotation.caption,
                }
            )
    return {"images": images, "annotations": annotations, "categories": [CATEGORY]}


def read_coco(path: str | Path) -> list[AnnotatedImage]:
    """The annotations of a COCO file, images in its order; `line` is the image id where that is a positive integer.

    A caption is the annotation's `caption`, else its category's name. Crowd regions are no objects and are left out.
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
        caption = entry.get("caption", names.get(entry.get("category_id")))
        if not isinstance(caption, str) or not caption.strip():
            raise InputError(f"{path}: field '{field}.category_id': neither a caption nor a named category")
        if not entry.get("iscrowd"):
            left, top, width, height = entry["bbox"]
            found[entry["image_id"]].append(Annotation(caption, (left, top, width, height)))
    result = [_annotated(path, place, image, found[image.get("id")]) for place, image in enumerate(images, start=1)]
    refuse_repeats(path, result)
    return result


def _annotated(path: str | Path, number: int, image: dict[str, Any], found: list[Annotation]) -> AnnotatedImage:
    name, key = image.get("file_name"), image.get("id")
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{path}: field 'images[{number - 1}].file_name': not a file name but {name!r}")
    line = key if isinstance(key, int) and not isinstance(key, bool) and key > 0 else number
    return AnnotatedImage(name, tuple(found), line)


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
        return {"num_images": len(images), "num_boxes": sum(len(image.annotations) for image in images)}
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
