"""Annotations put into their images' frames: where the file is, how large it is, what of each box is inside."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.boxes import box_area, clip_xyxy, ltwh_to_xyxy
from core.counting import count
from core.errors import InputError
from core.images import image_size
from core.listing import image_path
from core.progress import progress
from core.values import AnnotatedImage
from data.captions import StrPath, field_of, place


@dataclass(frozen=True, slots=True)
class FramedImage:
    """An annotated image with its frame.

    path: the image's file, None when only its size is known. width, height: pixels. boxes_xyxy: (N, 4) float64
    pixels of the image's N targets, cut to the frame, each with some area. hanging: (N,) bool, which boxes the cut
    changed.
    """

    annotated: AnnotatedImage
    path: Path | None
    width: int
    height: int
    boxes_xyxy: NDArray[np.float64]
    hanging: NDArray[np.bool_]

    def pair_places(self) -> list[int]:
        """Of each pair of caption and target (`AnnotatedImage.pairs`) the target's place in `boxes_xyxy`."""
        place = {box: n for n, box in enumerate(self.annotated.targets)}
        return [place[box] for _, box in self.annotated.pairs]


def find_image(images_dir: StrPath, image: str, where: str) -> Path:
    """The file of an annotated image in its folder; InputError, naming `where`, when there is none."""
    path = image_path(images_dir, image)
    if not path.is_file():
        folder = "" if Path(images_dir).is_dir() else " (there is no such folder)"
        raise InputError(f"{where}: field 'image': {path} does not exist{folder}")
    return path


def require_images(source: StrPath, named: Sequence[tuple[str, int]], images_dir: StrPath) -> None:
    """Raise InputError for named images, (name, line) each, that are not there: the first, and how many more."""
    missing = [(image, line) for image, line in named if not image_path(images_dir, image).is_file()]
    if not missing:
        return
    try:
        find_image(images_dir, missing[0][0], place(source, missing[0][1]))
    except InputError as error:
        more = f" (and {len(missing) - 1} more of {len(named)} images)" if len(missing) > 1 else ""
        raise InputError(f"{error}{more}") from None


def frame_image(
    source: StrPath, annotated: AnnotatedImage, size: tuple[int, int], path: Path | None = None
) -> FramedImage:
    """Cut an image's targets to its `size` (width, height); InputError when one lies wholly outside."""
    width, height = size
    targets = annotated.targets
    boxes = ltwh_to_xyxy(np.asarray(targets, np.float64).reshape(-1, 4))
    inside = np.asarray(clip_xyxy(boxes, width, height), np.float64)
    for number in np.flatnonzero(box_area(inside) <= 0):
        field = field_of(source, annotated, targets[number])
        raise InputError(
            f"{place(source, annotated.line)}: field '{field}': {list(targets[number])} lies wholly outside the "
            f"{width} x {height} image {annotated.image}"
        )
    return FramedImage(annotated, path, width, height, inside, (inside != boxes).any(axis=1))


def frame_images(source: StrPath, images: Sequence[AnnotatedImage], images_dir: StrPath) -> list[FramedImage]:
    """Find every image, read its size from its header and cut its boxes to it.

    Raises InputError naming `source`, line and field for the first image that is missing, unreadable or not of the size
    it was labelled at, the first box that lies wholly outside, and boxes that are all fractions. Says in one line on
    standard error how many boxes hang over an edge.
    """
    require_images(source, [(annotated.image, annotated.line) for annotated in images], images_dir)
    framed = []
    for annotated in progress(images, "reading image sizes"):
        path = find_image(images_dir, annotated.image, place(source, annotated.line))
        try:
            size = image_size(path)
        except InputError as error:
            raise InputError(f"{place(source, annotated.line)}: field 'image': {error}") from error
        if annotated.size not in (None, size):
            raise InputError(f"{place(source, annotated.line)}: field 'width': {sizes_differ(annotated, size)}")
        framed.append(frame_image(source, annotated, size, path))
    refuse_fractions(source, images)
    say_hanging(source, framed)
    return framed


def refuse_fractions(source: StrPath, images: Sequence[AnnotatedImage]) -> None:
    """Raise InputError where every box of a file lies within the first pixel, as fractions of the image do."""
    boxes = [box for image in images for box in image.targets]
    if boxes and all(max(left + width, top + height) <= 1 for left, top, width, height in boxes):
        told = count(len(boxes), "box lies", "boxes lie")
        raise InputError(f"{source}: field 'bbox': {told} within the first pixel, as fractions of an image do; boxes "
                         "are in pixels")  # fmt: skip


def sizes_differ(annotated: AnnotatedImage, size: tuple[int, int]) -> str:
    """How a message says that an image is not of the size that its boxes were drawn on."""
    width, height = annotated.size or size
    told = " (the other way round: labels drawn on it as its EXIF does not show it, or two words swapped)"
    turned = told if (height, width) == size else ""
    return f"labelled at {width} x {height}, but {annotated.image} is {size[0]} x {size[1]}{turned}"


def count_hanging(framed: Sequence[FramedImage]) -> int:
    """How many boxes hang over an edge of their image."""
    return sum(int(f.hanging.sum()) for f in framed)


def say_hanging(source: StrPath, framed: Sequence[FramedImage]) -> None:
    """Tell in one line how many boxes hang over an edge, and where the first is."""
    hanging = count_hanging(framed)
    if hanging:
        corners = [0 <= left < w and 0 <= top < h and w <= f.width and h <= f.height
                   for f in framed for left, top, w, h in f.annotated.targets]  # fmt: skip
        doubt = "; all look like left, top, right, bottom" if hanging * 2 >= len(corners) > 1 and all(corners) else ""
        first = next(f.annotated for f in framed if f.hanging.any())
        total = sum(len(f.hanging) for f in framed)
        print(
            f"{source}: {hanging} of {total} boxes hang over the edge of their image (first: line {first.line}, "
            f"{first.image}); kept as truth, clipped for crops, labels and drawing{doubt}",
            file=sys.stderr,
        )
