"""Training at the images' own shape, with mosaic of any probability, mixup and shuffling.

Stock Ultralytics drops mosaic and mixup when `rect=True`, stops shuffling unless all shapes agree, and drops `rect` on
several GPUs. Here the mosaic canvas and the affine crop take a (height, width), and nothing else changes: an image
that mosaic leaves alone is centred on grey by the affine step, as stock does on its square.
"""

import random
from typing import Any

import numpy as np

from detector import environment as environment  # before any import of ultralytics

from ultralytics.data.augment import BaseMixTransform, Compose, CopyPaste, Mosaic, RandomPerspective  # isort: skip

from detector.inference.letterbox import FILL


class RectangularMosaic(Mosaic):
    """Four images around a random centre on a canvas of twice (height, width)."""

    def __init__(self, dataset: Any, shape_hw: tuple[int, int], p: float) -> None:
        super().__init__(dataset, imgsz=max(shape_hw), p=p, n=4)
        self.shape_hw = shape_hw

    def get_params(self, labels: dict[str, Any]) -> dict[str, Any]:
        """Draw the other images and the centre, and lay the four patches out."""
        params = BaseMixTransform.get_params(self, labels)
        height, width = self.shape_hw
        centre_y = int(random.uniform(height / 2, height * 3 / 2))
        centre_x = int(random.uniform(width / 2, width * 3 / 2))
        patches = [labels, *labels["mix_labels"]]
        params["layout"] = [self._place(i, patch, centre_x, centre_y) for i, patch in enumerate(patches)]
        return params

    def _place(self, corner: int, patch: dict[str, Any], centre_x: int, centre_y: int) -> dict[str, Any]:
        """Canvas window (`a`) and patch window (`b`) of the patch in corner 0..3 (left, right; upper, lower)."""
        height, width = patch["img"].shape[:2]
        canvas_h, canvas_w = 2 * self.shape_hw[0], 2 * self.shape_hw[1]
        left = centre_x - width if corner % 2 == 0 else centre_x
        top = centre_y - height if corner < 2 else centre_y
        x1, y1 = max(left, 0), max(top, 0)
        x2, y2 = min(left + width, canvas_w), min(top + height, canvas_h)
        return {
            "labels_patch": patch, "img_shape": (height, width), "padw": left, "padh": top,
            "x1a": x1, "y1a": y1, "x2a": x2, "y2a": y2,
            "x1b": x1 - left, "y1b": y1 - top, "x2b": x2 - left, "y2b": y2 - top,
        }  # fmt: skip

    def apply_image(self, labels: dict[str, Any], params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Paste the four patches onto a grey canvas."""
        assert params is not None
        channels = labels["img"].shape[2]
        canvas = np.full((2 * self.shape_hw[0], 2 * self.shape_hw[1], channels), FILL, np.uint8)
        for at in params["layout"]:
            patch = at["labels_patch"]["img"][at["y1b"] : at["y2b"], at["x1b"] : at["x2b"]]
            canvas[at["y1a"] : at["y2a"], at["x1a"] : at["x2a"]] = patch
        labels["img"] = canvas
        return labels

    def _cat_labels(self, mosaic_labels: list[dict[str, Any]]) -> dict[str, Any]:
        final = super()._cat_labels(mosaic_labels)
        final["resized_shape"] = (2 * self.shape_hw[0], 2 * self.shape_hw[1])
        final["instances"].clip(2 * self.shape_hw[1], 2 * self.shape_hw[0])
        good = final["instances"].remove_zero_area_boxes()
        final["cls"] = final["cls"][good]
        return final


def make_rectangular(transforms: Compose, dataset: Any, shape_hw: tuple[int, int]) -> None:
    """Turn the train transforms that Ultralytics built for a square into those for (height, width), in place."""
    for transform in _walk(transforms):
        if isinstance(transform, RandomPerspective):
            transform.size = (shape_hw[1], shape_hw[0])
        elif isinstance(transform, CopyPaste):
            transform.p = 0.0  # it works on outlines, which boxes do not have
    _replace_mosaics(transforms, dataset, shape_hw)


def _walk(transform: Any) -> list[Any]:
    children = transform.transforms if isinstance(transform, Compose) else []
    inner = getattr(transform, "pre_transform", None)
    return [transform, *(t for child in [*children, *([inner] if inner else [])] for t in _walk(child))]


def _replace_mosaics(transforms: Compose, dataset: Any, shape_hw: tuple[int, int]) -> None:
    for part in _walk(transforms):
        if isinstance(part, Compose):
            part.transforms = [
                RectangularMosaic(dataset, shape_hw, t.p) if type(t) is Mosaic else t for t in part.transforms
            ]
