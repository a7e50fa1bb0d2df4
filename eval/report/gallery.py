"""The images of a report: each reduced once, and once the crops that its captions' cards show, as WebP."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.images import read_image
from core.listing import image_path
from core.pixels import pixel_boxes

THUMBNAIL = 320  # pixels of an image's longer side
CELL = 56  # pixels of a crop's longer side
COLUMNS = 6  # crops side by side in an image's sheet
QUALITY = 55  # of the WebP files


@dataclass(frozen=True)
class Shown:
    """One image as the page has it.

    size: width and height in pixels of the file. cells_K4: the pixels of each crop in the sheet, cell after cell, row
    by row; a crop stands at its cell's left top corner, its longer side CELL pixels.
    """

    size: tuple[int, int]
    thumbnail: bytes
    sheet: bytes
    cells_K4: NDArray[np.int32]


@dataclass
class Images:
    """Reads each image once; those that cannot be read, or that lie outside the folder, are remembered."""

    folder: Path | None
    missing: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def path(self, name: str) -> Path | None:
        """The file of a name, None where it lies outside the folder, whatever links or dots its name has."""
        if self.folder is None:
            return None
        try:
            path = image_path(self.folder, name).resolve()
        except (OSError, ValueError):  # a name that is no path
            return None
        return path if path.is_relative_to(self.folder.resolve()) else None

    def show(self, name: str, boxes_xyxy: NDArray[np.floating]) -> Shown | None:
        """The image with (K, 4) crops, None when it cannot be had."""
        if self.folder is None:
            return None
        path = self.path(name)
        if path is None:
            self.outside.append(name)
            return None
        try:
            image = read_image(path)
        except InputError:
            self.missing.append(name)
            return None
        height, width = image.shape[:2]
        cells = pixel_boxes(boxes_xyxy, width, height)
        cells = cells[np.sort(np.unique(cells, axis=0, return_index=True)[1])] if len(cells) else cells
        return Shown((width, height), _webp(_reduced(image, THUMBNAIL)), _sheet(image, cells), cells)


def _sheet(image: NDArray[np.uint8], cells_K4: NDArray[np.int32]) -> bytes:
    if not len(cells_K4):
        return b""
    rows = -(-len(cells_K4) // COLUMNS)
    sheet = np.full((rows * CELL, min(COLUMNS, len(cells_K4)) * CELL, 3), 128, np.uint8)
    for place, (left, top, right, bottom) in enumerate(cells_K4.tolist()):
        crop = _fitted(image[top:bottom, left:right], CELL)
        y, x = CELL * (place // COLUMNS), CELL * (place % COLUMNS)
        sheet[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return _webp(sheet)


def _reduced(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return image if max(image.shape[:2]) <= side else _fitted(image, side)


def _fitted(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The image with its longer side of that many pixels."""
    import cv2

    scale = side / max(image.shape[:2])
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def _webp(image: NDArray[np.uint8]) -> bytes:
    import cv2

    done, data = cv2.imencode(
        ".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, QUALITY]
    )  # fmt: skip
    assert done
    return data.tobytes()


def worth_showing(
    boxes_xyxy: Sequence[NDArray[np.floating]], first: NDArray[np.floating], most: int
) -> NDArray[np.floating]:
    """(K, 4) the boxes whose crops a page shows: all of `first`, then `most` of the lists, one after the other."""
    offered = np.concatenate([np.zeros((0, 4)), *boxes_xyxy])[:most]
    return np.concatenate([first.reshape(-1, 4), offered.reshape(-1, 4)])
