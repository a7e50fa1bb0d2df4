"""Training samples: an image or four, placed, bent, coloured and flipped; each a function of (seed, epoch, number)."""

import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from core.images import read_image
from core.stages import Image
from data.recipe import RecipeConfig
from detector.inference.letterbox import FILL, letterbox
from detector.train.loop.bending import affine, draw_affine, shift_colours
from detector.train.loop.settings import LoopSettings
from detector.train.windows import boxes_in_window, random_window

Boxes = NDArray[np.float32]  # (N, 4) left, top, right, bottom in pixels


@dataclass(frozen=True)
class Labelled:
    """An image's file and its true boxes, as fractions of the sides: centre x, centre y, width, height."""

    path: Path
    centres: NDArray[np.float32]


class TrainingSamples(Dataset[dict[str, Any]]):
    """One epoch's samples; `epoch` and `mosaic` are set before each."""

    def __init__(
        self, images: list[Labelled], shape_hw: tuple[int, int], settings: LoopSettings, recipe: RecipeConfig,
        seed: int, crop: tuple[int, int] | None, crop_share: float,
    ) -> None:  # fmt: skip
        import albumentations as A

        from data.augment import detector_transforms

        self.epoch = 0
        self.mixing = True  # whether mosaic and mixup are on
        self._images, self._shape, self._settings, self._seed = images, shape_hw, settings, seed
        self._crop, self._crop_share = crop, crop_share
        self._kept = {one.path: _unwritable(read_image(one.path)) for one in images} if settings.cache else {}
        steps = detector_transforms(recipe)
        bounds = A.BboxParams(format="pascal_voc", label_fields=[], clip=True, min_width=1, min_height=1)
        self._recipe = A.Compose(steps, bbox_params=bounds, strict=True) if steps else None

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`image` (3, H, W) uint8 RGB and `boxes` (N, 4) float32 in its pixels."""
        seed = int(np.random.SeedSequence([self._seed, self.epoch, index]).generate_state(1)[0])
        rng = random.Random(seed)
        image, boxes = self._mixed(index, rng)
        if self._recipe is not None:
            image, boxes = self._by_recipe(image, boxes, seed)
        image = shift_colours(image, rng, self._settings)
        height, width = image.shape[:2]
        if rng.random() < self._settings.flipud:
            image, boxes = image[::-1], boxes[:, [0, 3, 2, 1]] * [1, -1, 1, -1] + [0, height, 0, height]
        if rng.random() < self._settings.fliplr:
            image, boxes = image[:, ::-1], boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [width, 0, width, 0]
        chw = np.ascontiguousarray(image.transpose(2, 0, 1))
        return {"image": torch.from_numpy(chw), "boxes": torch.from_numpy(np.asarray(boxes, np.float32).reshape(-1, 4))}

    def _mixed(self, index: int, rng: random.Random) -> tuple[Image, Boxes]:
        image, boxes = self._placed(index, rng)
        if not self.mixing or rng.random() >= self._settings.mixup:
            return image, boxes
        other, more = self._placed(rng.randrange(len(self)), rng)
        share = np.random.default_rng(rng.randrange(2**32)).beta(32.0, 32.0)
        blended = cv2.addWeighted(image, share, other, 1 - share, 0)
        return np.asarray(blended, np.uint8), np.concatenate([boxes, more])

    def _placed(self, index: int, rng: random.Random) -> tuple[Image, Boxes]:
        """One image, or four around a random centre of a canvas of twice the size, through one affine map."""
        height, width = self._shape
        if not self.mixing or rng.random() >= self._settings.mosaic:
            image, boxes = self._fitted(index, rng)
            canvas, place = letterbox(image, self._shape)
            boxes = boxes * place.gain + np.asarray([place.left, place.top, place.left, place.top], np.float32)
        else:
            canvas, boxes = self._mosaic(index, rng)
        matrix = draw_affine(canvas.shape[:2], self._shape, rng, self._settings)
        return affine(canvas, boxes.astype(np.float32), matrix, (height, width))

    def _mosaic(self, index: int, rng: random.Random) -> tuple[Image, Boxes]:
        height, width = self._shape
        canvas = np.full((2 * height, 2 * width, 3), FILL, np.uint8)
        centre_x, centre_y = int(rng.uniform(width / 2, width * 3 / 2)), int(rng.uniform(height / 2, height * 3 / 2))
        found = []
        for corner, number in enumerate([index, *(rng.randrange(len(self)) for _ in range(3))]):
            image, boxes = self._fitted(number, rng)
            h, w = image.shape[:2]
            left = centre_x - w if corner % 2 == 0 else centre_x
            top = centre_y - h if corner < 2 else centre_y
            x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + w, 2 * width), min(top + h, 2 * height)
            canvas[y1:y2, x1:x2] = image[y1 - top : y2 - top, x1 - left : x2 - left]
            moved = np.clip(boxes + np.asarray([left, top, left, top], np.float32), [x1, y1, x1, y1], [x2, y2, x2, y2])
            found.append(moved[(moved[:, 2:] - moved[:, :2] > 1).all(1)])
        return canvas, np.concatenate(found)

    def _fitted(self, index: int, rng: random.Random) -> tuple[Image, Boxes]:
        """An image, or a random window of it, scaled to fit the shape, and its boxes in pixels of that."""
        labelled = self._images[index]
        kept = self._kept.get(labelled.path)
        image, centres = read_image(labelled.path) if kept is None else kept, labelled.centres
        height, width = image.shape[:2]
        if self._crop is not None and rng.random() < self._crop_share:
            window = random_window(width, height, self._crop, centres, rng)
            centres = boxes_in_window(centres, width, height, window)[0]
            left, top, right, bottom = window
            image = image[top:bottom, left:right]
            height, width = image.shape[:2]
        gain = min(self._shape[0] / height, self._shape[1] / width)
        size = max(1, round(width * gain)), max(1, round(height * gain))
        if size != (width, height):
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        corners = np.concatenate([centres[:, :2] - centres[:, 2:] / 2, centres[:, :2] + centres[:, 2:] / 2], 1)
        return image, (corners * [*size, *size]).astype(np.float32)

    def _by_recipe(self, image: Image, boxes: Boxes, seed: int) -> tuple[Image, Boxes]:
        assert self._recipe is not None
        self._recipe.set_random_seed(seed % 2**31)
        height, width = image.shape[:2]
        inside = boxes.clip(0, [width, height, width, height])
        out = self._recipe(image=np.ascontiguousarray(image[..., ::-1]), bboxes=inside)
        return out["image"][..., ::-1], np.asarray(out["bboxes"], np.float32).reshape(-1, 4)


def _unwritable(image: Image) -> Image:
    """So that no step can change what the next epoch sees."""
    image.setflags(write=False)
    return image


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch: `images` (B, 3, H, W) uint8 and `boxes`, one (N, 4) each."""
    return {"images": torch.stack([s["image"] for s in samples]), "boxes": [s["boxes"] for s in samples]}


def epoch_order(num: int, batch: int, seed: int, epoch: int, rank: int, world: int) -> list[list[int]]:
    """The batches of one process: its share of every batch of a shuffle that all processes make alike.

    The last batch is filled from the shuffle's beginning, so that every process has as many and as large batches.
    """
    order = list(range(num))
    random.Random(f"{seed} {epoch}").shuffle(order)
    total = math.ceil(num / batch) * batch
    order = (order * math.ceil(total / num))[:total]
    return [order[start + rank : start + batch : world] for start in range(0, total, batch)]
