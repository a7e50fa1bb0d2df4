"""YOLOv6 as a member: from a pickled file and from a folder, with slices and views, and into ONNX."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import InputError
from core.runs import RunFolder
from detector.build import build_detector
from detector.export import run as export
from detector.export.settings import ExportConfig
from detector.inference.onnx_network import OnnxNetwork
from detector.models.opening import open_model
from detector.models.yolov6 import YoloV6Model
from detector.settings import DetectorConfig, SliceConfig, SliceMode
from detector.yolov6.graph import Graph
from detector.yolov6.network import YoloV6

TINY = Graph(num_classes=2, width=0.0625, depth=0.1)


def drawn(folder: Path) -> Path:
    """A folder with a network that says something different of every cell."""
    torch.manual_seed(0)
    network = YoloV6(TINY)
    for part in (network.detect.cls_preds, network.detect.reg_preds):
        for p in part.parameters():
            torch.nn.init.normal_(p, 0, 0.5)
    network.train()(torch.rand(4, 3, 64, 64))
    YoloV6Model(network.eval(), 128).write(folder)
    return folder


def test_a_folder_proposes_what_the_network_says(tmp_path: Path) -> None:
    folder = drawn(tmp_path / "six")
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    slices = SliceConfig(mode=SliceMode.size, size=[64, 64], overlap=0.0, imgsz=64)
    config = DetectorConfig(weights=str(folder), views=["plain", "rotate_90"], slices=slices)
    views = {v.name: v.candidates for v in build_detector(config).propose([image])[0]}
    assert len(views) == 6
    model = open_model(folder)[0]
    assert isinstance(model, YoloV6Model)
    with torch.no_grad():
        rows = model.network.eval()(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[0].numpy()
    centre, half = rows[:, :2], rows[:, 2:4] / 2
    corners = np.concatenate([centre - half, centre + half], 1).clip(0, 128)
    np.testing.assert_allclose(views["six/plain"].boxes_xyxy, corners, atol=1e-3)
    np.testing.assert_allclose(views["six/plain"].confidence, rows[:, 5:].max(1), rtol=1e-5)
    part = build_detector(DetectorConfig(weights=str(folder), imgsz=64)).propose([image[64:, :64]])[0][0].candidates
    np.testing.assert_allclose(
        views["six/slice_0_64_64_128"].boxes_xyxy, part.boxes_xyxy + np.float32([0, 64, 0, 64]), atol=1e-3
    )


def test_onnx_takes_other_sizes_and_batches(tmp_path: Path) -> None:
    folder = drawn(tmp_path / "six")
    run_dir = RunFolder(tmp_path / "run", "detector.export")
    run_dir.open("{}")
    told = export(ExportConfig(run_dir=str(run_dir.path), weights=str(folder)), run_dir)
    assert float(str(told["max_box_error_px"])) < 0.01
    assert float(str(told["max_confidence_error"])) < 1e-4
    network = OnnxNetwork(Path(str(told["file"])), "cpu")
    assert (network.fixed_shape, network.stride) == (None, 64)
    inputs = np.random.default_rng(0).integers(0, 256, (2, 64, 192, 3), dtype=np.uint8)
    with torch.no_grad():
        boxes, sure = open_model(folder)[0].eval().detect(torch.from_numpy(inputs).permute(0, 3, 1, 2).float() / 255)
    for found, box, confidence in zip(network.predict(inputs, 0.0), boxes, sure, strict=True):
        np.testing.assert_allclose(found.boxes_xyxy, box, atol=1e-2)
        np.testing.assert_allclose(found.confidence, confidence, atol=1e-5)


def test_a_folder_that_is_not_as_it_says_is_refused(tmp_path: Path) -> None:
    folder = drawn(tmp_path / "six")
    good = json.loads((folder / "config.json").read_text())
    for change, message in (
        ({"width": 0.125}, "six/model.safetensors: tensor 'backbone.ERBlock_2.0.block.conv.weight': has shape"),
        ({"wdith": 0.1}, "six/config.json: field 'wdith'"),
        ({"depth": "deep"}, "field 'depth': 'deep' is no float above 0"),
        ({"imgsz": [1, 2, 3]}, "field 'imgsz'"),
    ):
        (folder / "config.json").write_text(json.dumps({**good, **change}))
        with pytest.raises(InputError, match=message):
            open_model(folder)
