"""Training at the images' shape: sides, boxes that stay on their objects, nothing dropped that stock drops."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ultralytics", reason="not run: ultralytics absent")

from detector.train.dataset import TrainingSet
from detector.train.plan import StagePlan
from detector.train.rectangular import RectangularMosaic
from detector.train.windows import boxes_in_window, rectangle_of


@pytest.mark.parametrize(
    ("imgsz", "stride", "expected"),
    [(1600, 32, (928, 1600)), (1600, 64, (960, 1600)), (1536, 64, (896, 1536)), (1280, 32, (736, 1280))],
)
def test_sides_are_rounded_up_to_the_stride(imgsz: int, stride: int, expected: tuple[int, int]) -> None:
    assert rectangle_of([(870, 1520)] * 3, imgsz, stride) == expected
    assert rectangle_of([(870, 1520), (870, 1519)], imgsz, stride) is None


def training_set(tree: Path, plan: StagePlan, imgsz: int = 96, **hyp: Any) -> TrainingSet:
    from ultralytics.cfg import get_cfg
    from ultralytics.utils import DEFAULT_CFG

    return TrainingSet(
        img_path=str(tree / "images" / "train"), imgsz=imgsz, batch_size=4, augment=True,
        hyp=get_cfg(DEFAULT_CFG, {"hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0, "augmentations": [], **hyp}), rect=False,
        cache=None, single_cls=True, stride=32, pad=0.0, prefix="", task="detect", classes=None,
        data={"names": {0: "target"}, "channels": 3}, fraction=1.0, plan=plan,
    )  # fmt: skip


def redness(sample: dict[str, Any]) -> np.ndarray:
    """How red each pixel of a training sample is, 0..1, (H, W); the drawn targets are red on grey."""
    image = sample["img"].numpy().astype(float)
    return np.clip((image[0] - image[1:].max(0)) / 150, 0, 1)


@pytest.mark.parametrize("mixing", [{"mosaic": 1.0}, {"mosaic": 0.5}, {"mosaic": 0.0}, {"mosaic": 0.7, "mixup": 1.0}])
@pytest.mark.parametrize("crop", [None, (48, 64)])
def test_boxes_stay_on_their_objects(make_tree: Callable, mixing: dict, crop: tuple[int, int] | None) -> None:
    """Red pixels are where the boxes are, and nowhere else, under every mixture of mosaic, mixup, affine and flips."""
    plan = StagePlan(rectangle=True, crop=crop, crop_share=0.5)
    data = training_set(make_tree(), plan, degrees=0.0, scale=0.2, fliplr=0.5, flipud=0.5, **mixing)
    random.seed(1)
    np.random.seed(1)
    seen = 0
    for _ in range(3):
        data.forget_buffer()
        for sample in (data[i] for i in range(len(data))):
            assert sample["img"].shape == (3, 64, 96)
            assert "rect_shape" not in sample  # the leftover that breaks stock's collate_fn
            red = redness(sample)
            height, width = red.shape
            mask = np.zeros_like(red, bool)
            for x, y, w, h in sample["bboxes"].numpy() * [width, height, width, height]:
                inside = red[int(y - h / 4) : int(y + h / 4) + 1, int(x - w / 4) : int(x + w / 4) + 1]
                assert inside.mean() > (0.25 if "mixup" in mixing else 0.6)
                top, left = max(0, int(y - h / 2) - 2), max(0, int(x - w / 2) - 2)
                mask[top : int(y + h / 2) + 3, left : int(x + w / 2) + 3] = True
                seen += 1
            sliver = 60 if crop is None else 120  # targets cut to slivers lose their box, in stock too
            assert red[~mask].sum() < sliver
    assert seen > 20


def test_a_mosaic_at_p_below_one_collates(make_tree: Callable) -> None:
    data = training_set(make_tree(), StagePlan(rectangle=True), mosaic=0.5)
    batch = data.collate_fn([data[i] for i in range(8)])
    assert batch["img"].shape == (8, 3, 64, 96)


def test_closing_mosaic_keeps_the_shape(make_tree: Callable) -> None:
    from ultralytics.cfg import get_cfg

    data = training_set(make_tree(), StagePlan(rectangle=True))
    assert any(isinstance(t, RectangularMosaic) for t in data.transforms.transforms[0].transforms)
    data.close_mosaic(get_cfg())
    assert data[0]["img"].shape == (3, 64, 96)
    assert data.transforms.transforms[0].transforms[0].p == 0.0


def test_cropped_boxes_by_hand() -> None:
    boxes = np.array([[0.5, 0.5, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1], [0.75, 0.5, 0.1, 0.2]])  # in a 100 x 50 image
    cut, inside = boxes_in_window(boxes, 100, 50, (40, 10, 75, 40))
    assert inside.tolist() == [True, False, True]
    np.testing.assert_allclose(cut[0] * [35, 30, 35, 30], [10, 15, 20, 10], atol=1e-5)
    np.testing.assert_allclose(cut[1] * [35, 30, 35, 30], [32.5, 15, 5, 10], atol=1e-5)  # cut at the right edge


def test_two_gloo_processes_train_rectangles_together(make_tree: Callable, tiny_model: Path, tmp_path: Path) -> None:
    """Two CPU processes, each with its share of the shuffled images, end with one model, and with the same when they
    were killed and went on. Not run here: NCCL, GPUs."""
    import json
    import os
    import subprocess
    import sys

    root = Path(__file__).resolve().parents[3]
    script = Path(__file__).with_name("two_processes.py")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0",
              "--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0"]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "YOLO_VERBOSE": "false"}
    done = subprocess.run(
        [*launch, str(script), str(make_tree()), str(tiny_model), str(tmp_path / "run")],
        env=env, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    reports = [json.loads((tmp_path / "run" / f"rank_{r}.json").read_text()) for r in range(2)]
    whole, again = ([r[name] for r in reports] for name in ("whole", "again"))
    for both in (whole, again):
        assert both[0]["weights"] == both[1]["weights"] == whole[0]["weights"]  # killed and gone on: the same end
        assert all(r["shapes"] == [[3, 64, 96]] for r in both)
        assert all(r["mosaic"] and r["recipe_live"] for r in both)
    assert [r["start"] for r in (*whole, *again)] == [0, 0, 1, 1]
    images = [set(r["images"]) for r in whole]
    assert all(images)
    assert len(images[0] | images[1]) == 12
    assert not images[0] & images[1]
    tables = [(tmp_path / "run" / name / "results.csv").read_text().splitlines() for name in ("whole", "killed")]
    assert [len(t) for t in tables] == [3, 3]  # a head and two epochs
