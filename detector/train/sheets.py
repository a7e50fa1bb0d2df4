"""A training batch as one image: what the network sees after every augmentation, with its boxes."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.boxes import iou_matrix
from core.images import contact_sheet
from core.values import Candidates
from eval.live.page import Shown

COLOUR = (80, 255, 80)
MOST = 16  # images on a sheet
ANSWERED = 6  # validation images a page shows
CONFIDENCE = 0.25  # of the boxes it draws
TARGET, RIGHT, WRONG = (255, 255, 255), (53, 208, 127), (255, 90, 60)


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


def answered(image: NDArray[np.uint8], targets_xyxy: NDArray[np.floating], found: Candidates, told: str = "") -> Shown:
    """A validation image with its targets white, boxes on one of them (IoU above one half) green, others red.

    image: (H, W, 3) RGB. targets_xyxy: (M, 4) in its pixels, as are `found`'s. told: what the text begins with.
    """
    drawn = np.ascontiguousarray(image).copy()
    boxes = found.boxes_xyxy[found.confidence >= CONFIDENCE].reshape(-1, 4)
    hits_NM = np.asarray(iou_matrix(boxes, targets_xyxy.reshape(-1, 4)) > 0.5)
    is_right_N = np.asarray(hits_NM.any(axis=1))
    thick = max(1, round(max(image.shape[:2]) / 600))
    for box in targets_xyxy.reshape(-1, 4):
        _rectangle(drawn, box, TARGET, thick)
    for box, is_right in zip(boxes, is_right_N, strict=True):
        _rectangle(drawn, box, RIGHT if is_right else WRONG, thick)
    wrong = int((~is_right_N).sum())
    text = f"{int(hits_NM.any(axis=0).sum())} of {hits_NM.shape[1]} targets found, {wrong} other boxes"
    return Shown(drawn, f"{told}{text} at confidence {CONFIDENCE}")


def _rectangle(image: NDArray[np.uint8], box: NDArray[np.floating], colour: tuple[int, int, int], thick: int) -> None:
    left, top, right, bottom = (round(float(value)) for value in box)
    cv2.rectangle(image, (left, top), (right, bottom), colour, thick)
