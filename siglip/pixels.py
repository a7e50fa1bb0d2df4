"""From a crop to what the image tower sees: the one function of training, export and serving."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def crop_pixels(crops: Sequence[NDArray[np.uint8]], image_processor: Any) -> torch.Tensor:
    """(N) crops of (H, W, 3) uint8 RGB -> (N, 3, S, S) float32, as the checkpoint's own image processor makes them.

    The layout is always named: the processor takes a side of 1 or 3 pixels for a channel axis when it must guess.
    """
    channels_first = [torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1))) for crop in crops]
    batch = image_processor(images=channels_first, input_data_format="channels_first", return_tensors="pt")
    return batch["pixel_values"]
