"""Detectors of other projects, exported to ONNX: their own network's boxes, through letterbox and decoding.

The network here is as small as can be, with the head of Meituan's YOLOv6 v4.0 P6 models. What their exporter leaves in
the file: distances from the anchor points to a box's four sides in units of the stride, turned into centre boxes in
input pixels; a column of ones where an objectness would be; sigmoid class scores; the levels one after the other
(yolov6/models/heads/effidehead_distill_ns.py and deploy/ONNX/export_onnx.py, tag 0.4.0).
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from detector.build import build_detector
from detector.settings import DetectorConfig, MemberConfig, SliceConfig, SliceMode

STRIDES = (8, 16, 32, 64)
BINS = 17  # reg_max 16


class Meituan(nn.Module):
    """Images (B, 3, H, W) in 0..1 -> (B, anchors, 5 + classes)."""

    def __init__(self, num_classes: int = 1, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.SiLU(), nn.Conv2d(width, width, 3, 2, 1), nn.SiLU())
        self.levels = nn.ModuleList(nn.Sequential(nn.Conv2d(width, width, 3, 2, 1), nn.SiLU()) for _ in STRIDES)
        self.distances = nn.ModuleList(nn.Conv2d(width, 4 * BINS, 1) for _ in STRIDES)
        self.classes = nn.ModuleList(nn.Conv2d(width, num_classes, 1) for _ in STRIDES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        feature, rows = self.stem(images), []
        for level, (down, stride) in enumerate(zip(self.levels, STRIDES, strict=True)):
            feature = down(feature)
            batch, _, height, width = feature.shape
            x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
            points = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1).reshape(-1, 2)
            bins = self.distances[level](feature).reshape(batch, 4, BINS, -1).softmax(2)
            sides = (bins * torch.arange(BINS).reshape(1, 1, -1, 1)).sum(2).transpose(1, 2)  # left, top, right, bottom
            low, high = points - sides[..., :2], points + sides[..., 2:]
            centre_box = torch.cat([(low + high) / 2, high - low], -1) * stride
            scores = self.classes[level](feature).flatten(2).transpose(1, 2).sigmoid()
            rows.append(torch.cat([centre_box, torch.ones_like(scores[..., :1]), scores], -1))
        return torch.cat(rows, 1)


def export(path: Path, height: int, width: int, num_classes: int = 1) -> Meituan:
    """Write the network as their exporter does (one fixed shape and batch); returns it."""
    torch.manual_seed(0)
    model = Meituan(num_classes).eval()
    torch.onnx.export(
        model, (torch.zeros(1, 3, height, width),), str(path), input_names=["images"], output_names=["outputs"],
        dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip
    return model


@pytest.mark.parametrize("num_classes", [1, 3])
def test_meituans_yolov6_gives_its_own_boxes(tmp_path: Path, num_classes: int) -> None:
    """Four strides from 8 to 64; the expected boxes come from the network in torch and a letterbox written by hand."""
    height, width = 128, 192
    model = export(tmp_path / "yolov6l6.onnx", height, width, num_classes)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (90, 150, 3), np.uint8), rng.integers(0, 256, (256, 200, 3), np.uint8)]
    found = build_detector(DetectorConfig(weights=str(tmp_path / "yolov6l6.onnx"))).propose(images)
    for image, (view,) in zip(images, found, strict=True):
        h, w = image.shape[:2]
        gain = min(height / h, width / w)
        size = round(w * gain), round(h * gain)
        left, top = round((width - size[0]) / 2 - 0.1), round((height - size[1]) / 2 - 0.1)
        filled = np.full((height, width, 3), 114, np.uint8)
        filled[top : top + size[1], left : left + size[0]] = cv2.resize(image, size)
        with torch.no_grad():
            rows = model(torch.from_numpy(filled).permute(2, 0, 1)[None] / 255)[0].double().numpy()
        assert len(rows) == sum((height // s) * (width // s) for s in (8, 16, 32, 64))
        boxes = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1)
        boxes = ((boxes - [left, top, left, top]) / gain).clip(0, [w, h, w, h])
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        np.testing.assert_allclose(view.candidates.boxes_xyxy, boxes[inside], atol=1e-3)
        np.testing.assert_allclose(view.candidates.confidence, rows[inside, 5:].max(1), atol=1e-5)
        assert inside.sum() > 100


def test_a_foreign_model_takes_part_in_slices_and_ensembles(
    tmp_path: Path, trained: tuple[Path, list[np.ndarray]]
) -> None:
    export(tmp_path / "v6.onnx", 64, 128)
    sliced = SliceConfig(mode=SliceMode.size, size=[72, 64], overlap=0.5)
    config = DetectorConfig(
        members=[
            MemberConfig(weights=str(trained[0]), name="ours"),
            MemberConfig(weights=str(tmp_path / "v6.onnx"), views=["plain", "flip_lr"], slices=sliced),
        ]
    )
    views = {view.name: view.candidates for view in build_detector(config).propose(trained[1][:1])[0]}
    assert {"ours/plain", "v6/plain", "v6/flip_lr", "v6/slice_0_0_72_64"} <= set(views)
    assert all(len(candidates) > 10 for candidates in views.values())
