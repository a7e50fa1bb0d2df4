"""A trained network's candidates: against Ultralytics' own inference, across views, slices, members and ONNX."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.cuts import CutConfig, candidates_of
from core.errors import InputError
from core.images import write_image
from core.runs import RunFolder
from core.stages import View
from core.suppression import cut
from core.values import Candidates
from detector.build import build_detector
from detector.settings import DetectorConfig, MemberConfig, SliceConfig, SliceMode


def views_of(config: DetectorConfig, images: list[np.ndarray]) -> list[dict[str, Any]]:
    return [{v.name: v.candidates for v in views} for views in build_detector(config).propose(images)]


def by_ultralytics(weights: Path, image: np.ndarray, imgsz: int, augment: bool) -> np.ndarray:
    """(N, 5) boxes and confidences after its NMS at 0.001 and IoU 0.7, given BGR as it wants it."""
    from ultralytics import YOLO

    result = YOLO(str(weights)).predict(
        image[..., ::-1].copy(), imgsz=imgsz, conf=0.001, iou=0.7, max_det=1000, augment=augment, verbose=False,
        device="cpu",
    )[0]  # fmt: skip
    return np.concatenate([result.boxes.xyxy.numpy(), result.boxes.conf.numpy()[:, None]], axis=1)


@pytest.mark.parametrize("augment", [False, True])
def test_candidates_after_nms_are_ultralytics_own(trained: tuple[Path, list[np.ndarray]], augment: bool) -> None:
    weights, images = trained
    views = views_of(DetectorConfig(weights=str(weights), views=["tta" if augment else "plain"]), images)
    for image, view in zip(images, views, strict=True):
        (name, candidates), = view.items()  # fmt: skip
        assert name == f"run/{'tta' if augment else 'plain'}"
        kept = cut(candidates, 0.001, 0.7, 1000)
        ours = np.concatenate([kept.boxes_xyxy, kept.confidence[:, None]], axis=1)
        theirs = by_ultralytics(weights, image, 96, augment)
        # Candidates are cut to the image before NMS, Ultralytics' after it: a box at the edge may decide otherwise.
        apart = np.abs(ours[:, None] - theirs[None]) / [1, 1, 1, 1, 1e-3]
        equal = apart.max(-1) < 1e-2
        assert min(equal.any(1).sum(), equal.any(0).sum()) >= 0.8 * max(len(ours), len(theirs)) > 10
        assert equal[:5].any(1).all()


def test_views_slices_and_members_agree_on_where_the_targets_are(trained: tuple[Path, list[np.ndarray]]) -> None:
    """Each view's best box overlaps the plain view's best box: none is mirrored, turned or shifted."""
    from core.boxes import iou_matrix

    weights, images = trained
    member = {"weights": str(weights)}
    config = DetectorConfig(members=[
        MemberConfig(**member, views=["plain", "flip_lr", "flip_ud", "rotate_90", "rotate_180", "scale_1.5"]),
        MemberConfig(**member, name="large", imgsz=128),
        MemberConfig(**member, name="sliced", slices=SliceConfig(mode=SliceMode.size, size=[72, 64], overlap=0.5)),
    ])  # fmt: skip
    agreeing = total = 0
    for views in views_of(config, images):
        assert {"run/plain", "run/rotate_90", "large/plain", "sliced/plain", "sliced/slice_0_0_72_64"} <= set(views)
        best = views["run/plain"].take(np.array([views["run/plain"].confidence.argmax()]))
        for name, candidates in views.items():
            if "slice_" in name:
                x1, y1, x2, y2 = map(int, name.rsplit("slice_", 1)[1].split("_"))
                assert (candidates.boxes_xyxy >= [x1, y1, x1, y1]).all()
                assert (candidates.boxes_xyxy <= [x2, y2, x2, y2]).all()
                continue
            top = candidates.take(np.argsort(-candidates.confidence)[:20])
            agreeing += iou_matrix(top.boxes_xyxy, best.boxes_xyxy).max() > 0.5
            total += 1
    assert agreeing >= 0.9 * total


def test_the_key_changes_with_all_that_changes_boxes(trained: tuple[Path, list[np.ndarray]]) -> None:
    weights = str(trained[0])
    keys = {
        build_detector(config).key
        for config in (
            DetectorConfig(weights=weights),
            DetectorConfig(weights=weights, imgsz=128),
            DetectorConfig(weights=weights, imgsz=[96, 128]),
            DetectorConfig(weights=weights, views=["plain", "flip_lr"]),
            DetectorConfig(weights=weights, slices=SliceConfig(mode=SliceMode.auto)),
            DetectorConfig(members=[MemberConfig(weights=weights), MemberConfig(weights=weights, imgsz=128)]),
        )
    }
    assert len(keys) == 6
    assert build_detector(DetectorConfig(weights=weights, batch=1)).key in keys  # batching changes nothing


def test_batches_change_nothing(trained: tuple[Path, list[np.ndarray]]) -> None:
    weights, images = trained
    images = [*images, images[0][:48], images[1][:, :48]]  # mixed shapes go through in groups
    one, many = (views_of(DetectorConfig(weights=str(weights), batch=b), images) for b in (1, 8))
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(a["run/plain"].boxes_xyxy, b["run/plain"].boxes_xyxy, atol=1e-3)


def test_a_slow_machine_finds_the_same(trained: tuple[Path, list[np.ndarray]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at a clock costs ten seconds here: Ultralytics' own suppression leaves images without a box."""
    import itertools
    import time

    import torch
    from ultralytics.utils.nms import non_max_suppression

    weights, images = trained
    raw = (
        torch.rand((3, 5, 60), generator=torch.Generator().manual_seed(0)) * torch.tensor([96, 64, 20, 20, 1])[:, None]
    )

    def found() -> tuple[list[np.ndarray], list[int]]:
        views = build_detector(DetectorConfig(weights=str(weights))).propose(images)
        kept = [candidates_of(v, CutConfig(confidence=0.001, nms_iou=0.5, max_det=300)) for v in views]
        ours = [np.column_stack([k.boxes_xyxy, k.confidence]) for k in kept]
        return ours, [len(boxes) for boxes in non_max_suppression(raw.clone(), 0.1, 0.7)]

    swift, theirs = found()
    with monkeypatch.context() as slowed:
        for clock in ("time", "monotonic", "perf_counter", "process_time"):
            ticks = itertools.count(0.0, 10.0)
            slowed.setattr(time, clock, lambda ticks=ticks: next(ticks))
        slow, theirs_slow = found()
    assert len(slow) == len(swift) == 4
    for one, other in zip(swift, slow, strict=True):
        np.testing.assert_array_equal(one, other)
        assert len(one) > 10
    assert min(theirs) > 0
    assert min(theirs_slow) == 0  # the clock does what it is here for


def test_the_most_confident_candidate_is_the_fallback(trained: tuple[Path, list[np.ndarray]]) -> None:
    weights, images = trained
    for views in build_detector(DetectorConfig(weights=str(weights))).propose(images):
        fallback = candidates_of(views, CutConfig(confidence=0.9999))
        assert len(fallback) == 1
        assert fallback.confidence[0] == views[0].candidates.confidence.max()


@pytest.mark.parametrize("dynamic", [True, False])
def test_exported_models_say_the_same(trained: tuple[Path, list[np.ndarray]], tmp_path: Path, dynamic: bool) -> None:
    from detector.export import run
    from detector.export.settings import ExportConfig

    weights, images = trained
    folder = RunFolder(tmp_path / "export", "detector.export")
    folder.open("{}")
    metrics = run(ExportConfig(weights=str(weights), imgsz=[64, 96], dynamic=dynamic), folder)
    assert metrics["max_box_error_px"] < 1e-3
    assert metrics["max_confidence_error"] < 1e-4
    ours = views_of(DetectorConfig(weights=str(weights), imgsz=[64, 96], name="n"), images)
    theirs = views_of(DetectorConfig(weights=str(metrics["file"]), imgsz=[64, 96], name="n"), images)
    for a, b in zip(ours, theirs, strict=True):
        assert len(a["n/plain"]) == len(b["n/plain"])
        np.testing.assert_allclose(a["n/plain"].boxes_xyxy, b["n/plain"].boxes_xyxy, atol=1e-3)
        np.testing.assert_allclose(a["n/plain"].confidence, b["n/plain"].confidence, atol=1e-4)
    with pytest.raises(InputError, match="tta needs a .pt"):
        views_of(DetectorConfig(weights=str(metrics["file"]), views=["tta"]), images)


def test_foreign_onnx_layouts_decode_to_the_same_boxes(tmp_path: Path) -> None:
    """The head of Meituan's YOLOv6 (and YOLOv5, v7): rows of centre boxes, objectness and class scores."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rows = np.array([[[32, 16, 20, 10, 1.0, 0.7], [60, 40, 8, 8, 0.5, 0.4], [5, 5, 4, 4, 1.0, 0.0005]] * 4], np.float32)
    for name, values in (("rows", rows), ("ones", rows[..., :5])):
        zero = helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0)
        nothing = helper.make_node("Mul", ["sum", "zero"], ["none"])
        add = helper.make_node("Add", ["rows", "none"], ["outputs"])
        graph = helper.make_graph(
            [zero, nothing, add], name,
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 96])],
            [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, list(values.shape))],
            [numpy_helper.from_array(values, "rows"), numpy_helper.from_array(np.float32(0), "zero")],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, tmp_path / f"{name}.onnx")
        image = np.zeros((64, 96, 3), np.uint8)
        view = views_of(DetectorConfig(weights=str(tmp_path / f"{name}.onnx")), [image, image])[1][f"{name}/plain"]
        expected = 0.7 if name == "rows" else 1.0
        np.testing.assert_allclose(view.boxes_xyxy[0], [22, 11, 42, 21])
        np.testing.assert_allclose(view.confidence[:2], [expected, 0.2 if name == "rows" else 0.5], rtol=1e-6)
        assert len(view) == (8 if name == "rows" else 12)  # 0.0005 is below the floor


def test_predict_writes_detections(trained: tuple[Path, list[np.ndarray]], make_tree: Callable, tmp_path: Path) -> None:
    from core.records import read_detections
    from detector.predict import PredictConfig, run

    folder = RunFolder(tmp_path / "predict", "detector.predict")
    folder.open("{}")
    images = make_tree(train=16) / "images" / "val"
    config = PredictConfig(images=str(images), detector=DetectorConfig(weights=str(trained[0])), device="cpu")
    metrics = run(config, folder)
    found = read_detections(folder.path / "detections.json")
    assert metrics["num_images"] == 4
    assert metrics["num_detections"] == len(found) > 10
    assert {d.image for d in found} == {p.name for p in images.iterdir()}
    assert folder.parents[0]["command"] == "detector.train"
    config.cut.confidence = 0.9999  # no box passes, so none is written, also not the most confident one
    metrics = run(config, RunFolder(tmp_path / "none", "detector.predict"))
    assert read_detections(tmp_path / "none" / "detections.json") == []
    assert (metrics["num_detections"], metrics["num_images_without"]) == (0, 4)


def test_the_bar_of_predict_moves_with_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from detector import predict

    events: list[str] = []

    class Silent:
        def propose(self, images: list[np.ndarray]) -> list[list[View]]:
            events.append(f"propose {len(images)}")
            return [[View("v", Candidates.empty())] for _ in images]

    def told(chunks: list[list[str]], label: str) -> Iterator[list[str]]:
        for chunk in chunks:
            yield chunk
            events.append(f"done {len(chunk)}")

    monkeypatch.setattr(predict, "progress", told)
    for name in "abc":
        write_image(tmp_path / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    found = predict.Found(Silent(), predict.PredictConfig(images=str(tmp_path), chunk=2))
    assert list(found.boxes(["a.png", "b.png", "c.png"])) == []
    assert events == ["propose 2", "done 2", "propose 1", "done 1"]
    assert found.num_without == 3
