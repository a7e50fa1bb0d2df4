"""A tiny YOLO tree and a tiny model description for the detector's tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.images import write_image
from core.runs import RunFolder

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
    """A noisy grey (H, W, 3) picture with red rectangles, and their normalised centre boxes."""
    picture = np.repeat(rng.integers(0, 60, (HEIGHT, WIDTH, 1), dtype=np.uint8), 3, axis=2)
    labels = []
    for _ in range(num):
        width, height = rng.integers(8, 20, 2)
        left, top = rng.integers(0, WIDTH - width), rng.integers(0, HEIGHT - height)
        picture[top : top + height, left : left + width] = (230, 40, 40)
        labels.append([(left + width / 2) / WIDTH, (top + height / 2) / HEIGHT, width / WIDTH, height / HEIGHT])
    return picture, labels


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """`make_tree(name, train=12, val=4)`: a YOLO tree of drawn pictures, the same for the same name."""

    def make(name: str = "tree", train: int = 12, val: int = 4) -> Path:
        root = tmp_path / name
        rng = np.random.default_rng(0)
        for part, count in (("train", train), ("val", val)):
            for i in range(count):
                picture, labels = draw(rng)
                write_image(root / "images" / part / f"{part}_{i:02d}.png", picture)
                label = root / "labels" / part / f"{part}_{i:02d}.txt"
                label.parent.mkdir(parents=True, exist_ok=True)
                label.write_text("".join(f"0 {' '.join(f'{v:.6f}' for v in box)}\n" for box in labels))
        (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames:\n  0: target\n")
        return root

    return make


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A model description of a few thousand parameters."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def train(tmp_path: Path, tiny_model: Path) -> Callable[..., Path]:
    """`train(tree, name, stages=[...], recipe=..., args={...})`: train in this process; returns the run folder."""
    from core.tracking import TrackingConfig, TrackingMode
    from data.recipe import RecipeConfig
    from detector.build import DetectorConfig, StageConfig, TrainingConfig
    from detector.train import TrainConfig, run

    def start(tree: Path, name: str = "run", **given: Any) -> Path:
        args = {"batch": 4, "nbs": 4, "plots": False, "amp": False, "warmup_epochs": 0, **given.pop("args", {})}
        training = TrainingConfig(model=given.pop("model", str(tiny_model)), args=args, **given.pop("training", {}))
        config = TrainConfig(
            run_dir=str(tmp_path / name),
            data=str(tree),
            detector=DetectorConfig(train=training),
            recipe=given.pop("recipe", RecipeConfig()),
            stages=given.pop("stages", [StageConfig(imgsz=64, epochs=2)]),
            device="cpu",
            tracking=TrackingConfig(mode=TrackingMode.disabled),
            **given,
        )
        folder = RunFolder(tmp_path / name, "detector.train")
        folder.open("{}")
        run(config, folder)
        return tmp_path / name

    return start
