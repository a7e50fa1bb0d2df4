"""A training batch as one image: what the network sees after every augmentation, with its boxes."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.images import contact_sheet

COLOUR = (80, 255, 80)
MOST = 16  # images on a sheet


def batch_sheet(batch: dict[str, Any]) -> NDArray[np.uint8]:
    """(H, W, 3) RGB grid of the batch's images with their boxes.

    batch: Ultralytics' collated batch, `img` (B, 3, H, W) uint8 RGB, `bboxes` (N, 4) normalised centre boxes,
    `batch_idx` (N,).
    """
    images = [np.ascontiguousarray(image_chw.permute(1, 2, 0).cpu().numpy()) for image_chw in batch["img"][:MOST]]
    height, width = images[0].shape[:2]
    for number, (x, y, w, h) in zip(batch["batch_idx"].tolist(), batch["bboxes"].tolist(), strict=True):
        if number < len(images):
            corner = round((x - w / 2) * width), round((y - h / 2) * height)
            opposite = round((x + w / 2) * width), round((y + h / 2) * height)
            cv2.rectangle(images[int(number)], corner, opposite, COLOUR, 1)
    return contact_sheet(images)
