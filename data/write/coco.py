"""Annotations as a COCO data set."""

from collections.abc import Sequence
from typing import Any

from core.values import AnnotatedImage, Box
from data.formats.coco import OURS
from data.frames import FramedImage
from data.parts import TARGET


def coco_of(framed: Sequence[FramedImage], classes: Sequence[str] = ()) -> dict[str, Any]:
    """Annotations as a COCO data set of one category, or with `classes` of those, which are all the captions.

    Image ids are the images' own where all have one, else the 1-based lines of the annotation file; boxes are kept as
    written, `area` = width x height, `iscrowd` 0. One annotation a target, which carries its `caption` as one more
    field, or, where several describe it, their list as `captions`; with `classes` one a target and caption. Captions
    that describe nothing are their image's `absent_captions`.
    """
    own = [entry.annotated.id for entry in framed]
    has_ids = all(isinstance(key, int) for key in own) and len(set(own)) == len(own)
    kinds = {caption: number for number, caption in enumerate(classes, start=1)}
    ids = own if has_ids else [entry.annotated.line for entry in framed]
    annotations: list[dict[str, Any]] = []
    for key, entry in zip(ids, framed, strict=True):
        pairs = entry.annotated.pairs if kinds else [(None, target) for target in entry.annotated.targets]
        for caption, box in pairs:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": key,
                    "category_id": 1 if caption is None else kinds[caption],
                    "bbox": list(box),
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    **(_captions(entry.annotated, box) if caption is None else {}),
                }
            )
    images = [_image_entry(entry) | {"id": key} for key, entry in zip(ids, framed, strict=True)]
    names = [{"id": n, "name": name, "supercategory": TARGET} for n, name in enumerate(classes or [TARGET], start=1)]
    return {"info": OURS, "images": images, "annotations": annotations, "categories": names}


def _image_entry(framed: FramedImage) -> dict[str, Any]:
    image = framed.annotated
    absent = [a.caption for a in image.annotations if not a.boxes_ltwh]
    named = {"id": image.line, "file_name": image.image, "width": framed.width, "height": framed.height}
    return {**named, "absent_captions": absent} if absent else named


def _captions(image: AnnotatedImage, target: Box) -> dict[str, Any]:
    captions = [a.caption for a in image.annotations if target in a.boxes_ltwh]
    return {"caption": captions[0]} if len(captions) == 1 else {"captions": captions}
