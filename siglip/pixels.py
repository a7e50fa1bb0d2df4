"""From a crop to what the image tower sees: the one way of training, export and serving.

Augmentation stands between the two halves, on images of the tower's own size, as the published recipes have it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import InputError
from core.warping import WARP, warp

_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")  # of an image processor, in its order


def crop_pixels(crops: Sequence[NDArray[np.uint8]], image_processor: Any) -> torch.Tensor:
    """(N) crops of (H, W, 3) uint8 RGB -> (N, 3, S, S) float32, as the checkpoint's own image processor makes them."""
    return normalise(resize(crops, image_processor), image_processor)


def is_warped(image_processor: Any) -> bool:
    """Whether crops reach their size by `core.warping.warp`."""
    return getattr(image_processor, "sampling", None) == WARP


def side_of(image_processor: Any) -> tuple[int, int]:
    """(height, width) of what the tower takes; InputError where sizes are not fixed."""
    size = dict(image_processor.size)
    if size.get("height") is None or size.get("width") is None:
        raise InputError("recipe: op 'warp' needs a scorer whose crops have one size")
    return int(size["height"]), int(size["width"])


def resize(crops: Sequence[NDArray[np.uint8]], image_processor: Any) -> list[NDArray[np.uint8]]:
    """(N) crops of any size -> (N) of (S, S, 3) uint8 RGB.

    By the image processor's own resize or, for a model that was trained on warped crops, by the same warp.
    """
    if is_warped(image_processor):
        return [warp(crop, [0, 0, crop.shape[1], crop.shape[0]], side_of(image_processor)) for crop in crops]
    resized = _process(crops, image_processor, do_rescale=False, do_normalize=False)
    return [image.permute(1, 2, 0).to(torch.uint8).numpy() for image in resized]


def normalise(images: Sequence[NDArray[np.uint8]], image_processor: Any) -> torch.Tensor:
    """(N) images of (S, S, 3) uint8 RGB -> (N, 3, S, S) float32."""
    return _process(images, image_processor, do_resize=False)


def preprocessing_of(image_processor: Any) -> dict[str, Any]:
    """What of an image processor decides the pixels, as a checkpoint remembers it."""
    values = image_processor.to_dict()
    return {
        "size": {k: v for k, v in dict(values["size"]).items() if v is not None},
        "resample": int(values["resample"]),
        "rescale_factor": float(values["rescale_factor"]),
        "mean": [float(v) for v in values["image_mean"]],
        "std": [float(v) for v in values["image_std"]],
        "steps": [name for name in _STEPS if values.get(name)],
        **({"sampling": WARP} if is_warped(image_processor) else {}),
    }


def _process(images: Sequence[NDArray[np.uint8]], image_processor: Any, **steps: bool) -> torch.Tensor:
    # The layout is always named: the processor takes a side of 1 or 3 pixels for a channel axis when it must guess.
    channels_first = [torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))) for image in images]
    return image_processor(images=channels_first, input_data_format="channels_first", return_tensors="pt", **steps)[
        "pixel_values"
    ]
