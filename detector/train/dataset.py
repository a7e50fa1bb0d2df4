"""The training set as Ultralytics reads it, with rectangular training and a recipe that is known to be live."""

import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detector import environment as environment  # before any import of ultralytics

from ultralytics.data import base as loading  # isort: skip
from ultralytics.data.augment import Albumentations, Compose  # isort: skip
from ultralytics.data.dataset import YOLODataset  # isort: skip

from core.errors import InputError
from core.images import image_size, read_image
from data.labels import label_path, read_labels
from detector.train.plan import StagePlan
from detector.train.rectangular import make_rectangular
from detector.train.tree import listed_images
from detector.train.windows import boxes_in_window, random_window, rectangle_of

BUFFERED = 16  # images in the mosaic buffer at an epoch's beginning


def imread(path: str, flags: int = cv2.IMREAD_COLOR) -> NDArray[np.uint8]:
    """Ultralytics' reader of images, in BGR, by ours: turned, stretched and limited as everywhere."""
    return np.asarray(cv2.cvtColor(read_image(path), cv2.COLOR_RGB2BGR), np.uint8)


loading.imread = imread


class LabelledSet(YOLODataset):
    """Ultralytics' data set of the images and labels that our one reader reads.

    Its own scan is left out: it trusts a cache that does not see an edited label of equal length, leaves out images
    whose labels it does not like, follows links to other labels, and writes JPEGs with a trailer anew.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if kwargs.get("classes") is None:
            self._require_same()

    def _require_same(self) -> None:
        """InputError unless what Ultralytics will use, after its own constructor, are our images with our boxes."""
        ours = {file: self._label(file)["bboxes"] for file in self.im_files}
        held = {label["im_file"]: label["bboxes"] for label in self.labels}
        differ = [f for f in ours if f not in held or not np.array_equal(held[f], ours[f])]
        differ += [f for f in self.get_img_files(self.img_path) if f not in ours]
        if differ:
            first = ", ".join(differ[:3])
            raise InputError(f"{first}: Ultralytics holds other boxes than the labels, in {len(differ)} of {self.ni}")

    def get_img_files(self, img_path: str | list[str]) -> list[str]:
        """The images of our lists, or the share of them that Ultralytics' `fraction` asks for."""
        files = listed_images(img_path)
        count = self.fraction if isinstance(self.fraction, int) else max(1, round(len(files) * self.fraction))
        return files[:count]

    def get_labels(self) -> list[dict[str, Any]]:
        """Ultralytics' label of every image: class and normalised centre boxes, each once."""
        self.label_files = [str(label_path(Path(file))) for file in self.im_files]
        return [self._label(file) for file in self.im_files]

    def _label(self, file: str) -> dict[str, Any]:
        width, height = image_size(file)
        rows = [(0 if self.single_cls else label.kind, *label.fractions) for label in read_labels(Path(file))]
        values = np.asarray(list(dict.fromkeys(rows)), np.float32).reshape(-1, 5)
        return {
            "im_file": file, "shape": (height, width), "cls": values[:, :1], "bboxes": values[:, 1:], "segments": [],
            "keypoints": None, "normalized": True, "bbox_format": "xywh",
        }  # fmt: skip


class TrainingSet(LabelledSet):
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
        image = imread(self.im_files[index])
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
