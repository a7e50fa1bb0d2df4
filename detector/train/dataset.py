"""The training set as Ultralytics reads it, with rectangular training and a recipe that is known to be live."""

import math
import random
from copy import deepcopy
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detector import environment as environment  # before any import of ultralytics

from ultralytics.data.augment import Albumentations, Compose  # isort: skip
from ultralytics.data.dataset import YOLODataset  # isort: skip
from ultralytics.utils.patches import imread  # isort: skip

from detector.train.plan import StagePlan
from detector.train.rectangular import make_rectangular, rectangle_of

LEAST_VISIBLE = 0.1  # share of a box that a window must show for the box to count there
BUFFERED = 16  # images in the mosaic buffer at an epoch's beginning


class TrainingSet(YOLODataset):
    """Ultralytics' data set, whose train transforms may have a (height, width) of their own."""

    def __init__(self, *args: Any, plan: StagePlan, stride: int, **kwargs: Any) -> None:
        self.plan = plan
        super().__init__(*args, stride=stride, **kwargs)

    def build_transforms(self, hyp: Any) -> Compose:
        """Ultralytics' transforms, made rectangular; also called again when mosaic is closed."""
        transforms = super().build_transforms(hyp)
        shape = self.rectangle()
        if shape is not None:
            make_rectangular(transforms, self, shape)
        return transforms

    def rectangle(self) -> tuple[int, int] | None:
        """(height, width) of the training images, None for a square of `imgsz`."""
        if not self.plan.rectangle:
            return None
        return rectangle_of([tuple(label["shape"]) for label in self.labels], self.imgsz, self.stride)

    def get_image_and_label(self, index: int) -> dict[str, Any]:
        """Ultralytics' sample, or for a share of them a random crop of the size of the slices to come."""
        if self.plan.crop is None or random.random() >= self.plan.crop_share:
            return super().get_image_and_label(index)
        label = deepcopy(self.labels[index])
        image = imread(self.im_files[index], flags=self.cv2_flag)
        if image is None:
            raise FileNotFoundError(self.im_files[index])
        height, width = image.shape[:2]
        window = random_window(width, height, self.plan.crop, label["bboxes"])
        label["bboxes"], inside = boxes_in_window(label["bboxes"], width, height, window)
        label["cls"] = label["cls"][inside]
        left, top, right, bottom = window
        return self._sample(label, image[top:bottom, left:right])

    def _sample(self, label: dict[str, Any], image: NDArray[np.uint8]) -> dict[str, Any]:
        """An image scaled into the training shape, with its label, as Ultralytics' transforms expect them."""
        label.pop("shape", None)
        height, width = image.shape[:2]
        most_h, most_w = self.rectangle() or (self.imgsz, self.imgsz)
        gain = min(most_h / height, most_w / width)
        size = max(1, int(width * gain)), max(1, int(height * gain))
        label["img"] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        label["ori_shape"], label["resized_shape"] = (height, width), label["img"].shape[:2]
        label["ratio_pad"] = (size[1] / height, size[0] / width)
        return dict(self.update_labels_info(label))

    def forget_buffer(self) -> None:
        """Fill the buffer that mosaic draws from anew, so that an epoch depends on nothing that went before it."""
        if self.cache == "ram":  # then mosaic draws from all images
            return
        for i in self.buffer:
            self.ims[i], self.im_hw0[i], self.im_hw[i] = None, None, None
        self.buffer.clear()
        for i in random.sample(range(self.ni), min(self.ni, BUFFERED)):
            self.load_image(i)


def require_live_recipe(transforms: Compose, expected: list[dict[str, Any]] | None) -> None:
    """Raise RuntimeError unless the train transforms hold exactly the recipe that was asked for.

    Ultralytics trains without any augmentation, with one log line, when building the list raises anything.
    expected: the `augmentations` argument as `A.to_dict` stores it; None leaves Ultralytics' own list alone.
    """
    import albumentations

    if expected is None:
        return
    stage = next((t for t in transforms.transforms if isinstance(t, Albumentations)), None)
    if stage is None or stage.transform is None:
        raise RuntimeError("the augmentation recipe is not live: Ultralytics could not build it")
    live = [albumentations.to_dict(t) for t in stage.transform.transforms]
    if live != list(expected):
        raise RuntimeError(f"the augmentation recipe is not live: asked for {expected}, found {live}")


def random_window(
    width: int, height: int, crop: tuple[int, int], boxes: NDArray[np.floating]
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a crop of (width, height), or as much of it as the image has.

    Half of them lie anywhere; the others hold the centre of one of the image's normalised centre boxes, so that a
    detector of few and small targets does not see empty ground alone.
    """
    crop_w, crop_h = min(crop[0], width), min(crop[1], height)
    least_x, most_x, least_y, most_y = 0, width - crop_w, 0, height - crop_h
    if len(boxes) and random.random() < 0.5:
        x, y = boxes[random.randrange(len(boxes)), :2] * [width, height]
        least_x, most_x = max(0, math.ceil(x) - crop_w), min(most_x, math.floor(x))
        least_y, most_y = max(0, math.ceil(y) - crop_h), min(most_y, math.floor(y))
    left, top = random.randint(min(least_x, most_x), most_x), random.randint(min(least_y, most_y), most_y)
    return left, top, left + crop_w, top + crop_h


def boxes_in_window(
    boxes: NDArray[np.floating], width: int, height: int, window: tuple[int, int, int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Normalised centre boxes of an image -> those of a window of it, and which boxes they are.

    A box counts when at least LEAST_VISIBLE of its area is inside (sahi's own rule for sliced labels), and is cut.
    """
    scale = np.asarray([width, height, width, height], np.float64)
    centre, size = boxes[:, :2] * scale[:2], boxes[:, 2:] * scale[2:]
    corners = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    left, top, right, bottom = window
    cut = corners.clip([left, top, left, top], [right, bottom, right, bottom]) - [left, top, left, top]
    visible = (cut[:, 2] - cut[:, 0]) * (cut[:, 3] - cut[:, 1])
    inside = visible >= np.maximum(LEAST_VISIBLE * size[:, 0] * size[:, 1], 1e-9)
    cut = cut[inside]
    result = np.concatenate([(cut[:, :2] + cut[:, 2:]) / 2, cut[:, 2:] - cut[:, :2]], axis=1)
    extent = [right - left, bottom - top, right - left, bottom - top]
    return (result / extent).astype(np.float32), inside
