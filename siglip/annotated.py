"""Crops cut from annotated images while they are trained on, with what lies around them for a warp to reach into."""

from functools import lru_cache

import numpy as np

from core.errors import InputError
from core.images import read_image
from core.pixels import crop_box, pixel_box
from core.stages import Image
from data.crops import plan_crops
from data.frames import frame_images
from data.sources import read_any
from siglip.crops import Crops, Framed

MARGIN = 0.25  # of a box's longer side, kept on each side of it: more than a small turn, shift and pad reach


def read_annotated(annotations: str, images: str) -> Crops:
    """The crops that `data.crops` would cut of an annotation file's boxes, not enlarged.

    Raises InputError for bad annotations, missing images and boxes outside them, before any image is decoded.
    """
    annotated = read_any(annotations)
    try:
        planned = plan_crops(annotated)
    except InputError as error:
        raise InputError(f"{annotations}: {error}") from error
    if not planned:
        raise InputError(f"{annotations}: holds no box to cut a crop of")
    framed = frame_images(annotations, annotated, images)
    boxes = np.concatenate([f.boxes_xyxy[f.pair_places()] for f in framed if f.boxes_xyxy.size])
    owner = [f for f in framed for _ in f.annotated.pairs]
    read = lru_cache(maxsize=2)(read_image)

    def open_crop(i: int) -> Image:
        return crop_box(read(str(owner[i].path)), boxes[i])

    def around(i: int) -> Framed:
        image = read(str(owner[i].path))
        box = np.asarray(pixel_box(boxes[i], image.shape[1], image.shape[0]))
        margin = int(np.ceil(MARGIN * (box[2:] - box[:2]).max()))
        left, top = np.maximum(box[:2] - margin, 0)
        patch = image[top : box[3] + margin, left : box[2] + margin].copy()
        return Framed(patch, (box[0] - left, box[1] - top, box[2] - left, box[3] - top))

    return Crops(
        names=[c.file_name for c in planned],
        captions=[c.caption for c in planned],
        images=[c.image for c in planned],
        open=open_crop,
        policy="none",
        targets=[c.file_name if c.target is None else f"{c.image}#{c.target}" for c in planned],
        around=around,
    )
