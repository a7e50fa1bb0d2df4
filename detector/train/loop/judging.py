"""What a model in training finds in the validation images, judged as `eval.coco` judges it."""

from collections.abc import Sequence

import numpy as np
import torch

from core.boxes import clip_xyxy, xyxy_to_ltwh
from core.images import read_image
from core.suppression import cut
from core.values import Candidates
from detector.inference.letterbox import input_shape, letterbox
from detector.inference.network import above
from detector.models.model import Model
from detector.train.loop.samples import Labelled
from detector.train.sheets import ANSWERED, answered
from eval.boxes.average_precision import twelve_numbers
from eval.boxes.operating_point import best_f1, confidence_curves
from eval.boxes.table import make_table
from eval.live.page import Shown

CONFIDENCE, NMS_IOU, MOST = 0.001, 0.7, 300  # as detector.predict cuts for AP


@torch.inference_mode()
def judge(
    model: Model, images: Sequence[Labelled], imgsz: int, device: torch.device, shown: list[Shown] | None = None
) -> dict[str, float]:
    """`AP`, `AP50`, and precision and recall where F1 is best, of a model in evaluation mode.

    shown: takes the first images with their answers.
    """
    found: list[tuple[int, Candidates]] = []
    truth_image: list[int] = []
    truth_ltwh: list[list[float]] = []
    for number, labelled in enumerate(images):
        image = read_image(labelled.path)
        height, width = image.shape[:2]
        filled, back = letterbox(image, input_shape((height, width), imgsz, model.stride))
        batch = torch.from_numpy(filled).to(device).permute(2, 0, 1)[None].float() / 255
        boxes, sure = (part[0].float().cpu().numpy() for part in model.detect(batch))
        raw = above(boxes, sure, CONFIDENCE)
        inside = clip_xyxy(back.undo(raw.boxes_xyxy), width, height)
        found.append((number, cut(Candidates(inside.astype(np.float32), raw.confidence), CONFIDENCE, NMS_IOU, MOST)))
        x, y, w, h = (labelled.centres * [width, height, width, height]).T
        truth_image += [number] * len(labelled.centres)
        truth_ltwh += np.stack([x - w / 2, y - h / 2, w, h], 1).tolist()
        if shown is not None and number < ANSWERED:
            targets = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
            shown.append(answered(image, targets, found[-1][1], f"{labelled.path.name}: "))
    truth = make_table(truth_image, truth_ltwh, np.ones(len(truth_image)), len(images))
    kept = [c for _, c in found]
    ltwh = np.concatenate([xyxy_to_ltwh(c.boxes_xyxy) for c in kept]) if kept else np.zeros((0, 4))
    places = [number for number, c in found for _ in range(len(c))]
    table = make_table(places, ltwh, np.concatenate([c.confidence for c in kept]), len(images))
    numbers = twelve_numbers(truth, table)
    curves = confidence_curves(table, truth)
    at = int(np.argmax(curves["confidence"] == best_f1(curves)["best_f1_confidence"])) if len(table) else None
    precision, recall = (float(curves[n][at]) if at is not None else 0.0 for n in ("precision", "recall"))
    return {"AP": numbers["AP"], "AP50": numbers["AP50"], "precision": precision, "recall": recall}
