"""A tiny YOLO tree and a tiny model description for the detector's tests."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InputError
from core.images import read_image, write_image
from core.runs import RunFolder

with contextlib.suppress(
    InputError
):  # where ultralytics is not installed, what needs it is skipped (tests/conftest.py)
    from detector import environment as environment  # before any test imports ultralytics

WIDTH, HEIGHT = 96, 64

TINY = """
nc: 1
reg_max: 4
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [[2, 3], 1, Detect, [nc]]
"""


def draw(rng: np.random.Generator, num: int = 2) -> tuple[np.ndarray, list[list[float]]]:
    """A noisy grey (H, W, 3) image with red rectangles, and their normalised centre boxes."""
    image = np.repeat(rng.integers(0, 60, (HEIGHT, WIDTH, 1), dtype=np.uint8), 3, axis=2)
    labels = []
    for _ in range(num):
        width, height = rng.integers(8, 20, 2)
        left, top = rng.integers(0, WIDTH - width), rng.integers(0, HEIGHT - height)
        image[top : top + height, left : left + width] = (230, 40, 40)
        labels.append([(left + width / 2) / WIDTH, (top + height / 2) / HEIGHT, width / WIDTH, height / HEIGHT])
    return image, labels


def build_tree(root: Path, train: int = 12, val: int = 4) -> Path:
    """Write a YOLO tree of drawn images, the same every time."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("val", val)):
        for i in range(count):
            image, labels = draw(rng)
            write_image(root / "images" / part / f"{part}_{i:02d}.png", image)
            label = root / "labels" / part / f"{part}_{i:02d}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("".join(f"0 {' '.join(f'{v:.6f}' for v in box)}\n" for box in labels))
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames:\n  0: target\n")
    return root


def train_tiny(tree: Path, run_dir: Path, **given: Any) -> Path:
    """Train in this process with small settings; `given` overrides them. Returns the run folder."""
    from core.tracking import TrackingConfig, TrackingMode
    from data.recipe import RecipeConfig
    from detector.settings import DetectorConfig, StageConfig, TrainingConfig
    from detector.train import run
    from detector.train.settings import TrainConfig

    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir.parent / "tiny.yaml").write_text(TINY)
    args = {"batch": 4, "nbs": 4, "plots": False, "amp": False, "warmup_epochs": 0, **given.pop("args", {})}
    model = given.pop("model", str(run_dir.parent / "tiny.yaml"))
    training = TrainingConfig(model=model, args=args, **given.pop("training", {}))
    config = TrainConfig(
        run_dir=str(run_dir),
        data=str(tree),
        detector=DetectorConfig(train=training),
        recipe=given.pop("recipe", RecipeConfig()),
        stages=given.pop("stages", [StageConfig(imgsz=64, epochs=2)]),
        device="cpu",
        tracking=TrackingConfig(mode=TrackingMode.disabled),
        **given,
    )
    folder = RunFolder(run_dir, "detector.train")
    folder.open("{}")
    run(config, folder)
    return run_dir


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """`make_tree(name="tree", train=12, val=4)`."""
    return lambda name="tree", **counts: build_tree(tmp_path / name, **counts)


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A model description of a few thousand parameters."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Path]:
    """`train(tree, name="run", stages=[...], recipe=..., args={...})`."""
    return lambda tree, name="run", **given: train_tiny(tree, tmp_path / name, **given)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    """A checkpoint that has learned a little, and the four validation images."""
    from detector.settings import StageConfig

    root = tmp_path_factory.mktemp("trained")
    tree = build_tree(root / "tree", train=16)
    args = {"lr0": 0.01, "optimizer": "AdamW", "mosaic": 0.0, "val": False}
    run = train_tiny(tree, root / "run", stages=[StageConfig(imgsz=96, epochs=12, args=args)])
    images = [read_image(p) for p in sorted((tree / "images" / "val").glob("*.png"))]
    return run / "weights" / "best.pt", images
