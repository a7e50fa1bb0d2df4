"""Ultralytics' validator that keeps its first images with what the model found in them."""

from typing import Any

import numpy as np
import torch

from detector import environment as environment  # before any import of ultralytics

from ultralytics.models.yolo.detect import DetectionValidator  # isort: skip

from core.values import Candidates
from detector.train.sheets import ANSWERED, answered
from eval.live.page import Shown


class KeepingValidator(DetectionValidator):
    """Keeps, of each validation, the first images as the network saw them, with targets and answers."""

    kept: list[Shown]

    def init_metrics(self, model: torch.nn.Module) -> None:
        """Ultralytics' own, and nothing kept yet."""
        super().init_metrics(model)
        self.kept = []

    def update_metrics(self, preds: list[dict[str, torch.Tensor]], batch: dict[str, Any]) -> None:
        """Ultralytics' own, after keeping what is shown."""
        for number, found in enumerate(preds[: ANSWERED - len(self.kept)]):
            pixels = (batch["img"][number].float() * 255).round().clamp(0, 255).byte()
            image = pixels.permute(1, 2, 0).cpu().numpy()
            height, width = image.shape[:2]
            own = batch["bboxes"][batch["batch_idx"].view(-1) == number].float().cpu().numpy().reshape(-1, 4)
            centres, halves = own[:, :2], own[:, 2:] / 2
            targets = np.concatenate([centres - halves, centres + halves], 1) * [width, height, width, height]
            boxes, sure = (found[name].float().cpu().numpy() for name in ("bboxes", "conf"))
            self.kept.append(answered(image, targets, Candidates(boxes.reshape(-1, 4), sure.reshape(-1))))
        super().update_metrics(preds, batch)
