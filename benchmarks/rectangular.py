"""Rectangular training against square training at the same long side: images a second, and the ratio of pixels.

    python -m benchmarks.rectangular [imgsz=640] [model=yolov8n.yaml] [batches=6] [rounds=3]

Draws images of 1520x870, then takes batches through loading (mosaic, mixup, affine), forward, loss, backward and
step, square and rectangular in turns within one process. Expected: at least 0.95 times the ratio of the pixel counts
(1.67 at 640 px: 640x640 against 640x384). Seen on 2 cores at 640 px: 1.04 times on a busy
machine, 1.13 on a quiet one.
"""

import os
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("YOLO_VERBOSE", "false")  # read as ultralytics is imported

import numpy as np

from benchmarks.recording import record, take_json
from core.images import write_image


def draw_tree(root: Path, num: int = 24) -> Path:
    """A YOLO tree of noise images with three boxes each; the same part serves for validation."""
    rng = np.random.default_rng(0)
    for i in range(num):
        coarse = rng.integers(0, 256, (87, 152, 3), dtype=np.uint8)
        write_image(root / "images" / "train" / f"{i:03d}.jpg", np.kron(coarse, np.ones((10, 10, 1), np.uint8)))
        label = root / "labels" / "train" / f"{i:03d}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"0 {x:.4f} {y:.4f} 0.04 0.05" for x, y in rng.uniform(0.1, 0.9, (3, 2))]
        label.write_text("\n".join(lines) + "\n")
    (root / "data.yaml").write_text("train: images/train\nval: images/train\nnames:\n  0: target\n")
    return root / "data.yaml"


def make_trainer(data: Path, folder: Path, rectangle: bool, settings: dict[str, str]) -> Any:
    """A trainer whose data, model and optimizer are ready."""
    from detector.train.plan import StagePlan
    from detector.train.trainer import StageTrainer

    folder.mkdir(parents=True)
    StagePlan(rectangle=rectangle).write(folder)
    trainer = StageTrainer(overrides={
        "data": str(data), "save_dir": str(folder), "model": settings.get("model", "yolov8n.yaml"), "epochs": 1,
        "imgsz": int(settings.get("imgsz", 640)), "batch": 4, "nbs": 4, "device": "cpu", "plots": False, "cache": "ram",
        "mixup": 0.2, "single_cls": True, "close_mosaic": 0, "exist_ok": True, "augmentations": [],
    })  # fmt: skip
    trainer._setup_train()
    trainer.epoch = 0
    trainer._model_train()
    trainer._seed_epoch()
    return trainer


def take(trainer: Any, batches: int) -> tuple[float, int, tuple[int, int]]:
    """Seconds, images and (height, width) of some batches."""
    began, images, shape = time.perf_counter(), 0, (0, 0)
    for number, batch in enumerate(trainer.train_loader):
        if number == batches:
            break
        trainer.batch_number = 100  # no sample sheets here
        batch = trainer.preprocess_batch(batch)
        loss, _ = trainer.model(batch)
        loss.sum().backward()
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        images += len(batch["img"])
        shape = tuple(batch["img"].shape[2:])
    return time.perf_counter() - began, images, shape


def main() -> None:
    """Print images a second of both and the two ratios."""
    file = take_json()
    settings = dict(word.split("=") for word in sys.argv[1:])
    batches, rounds = int(settings.get("batches", 6)), int(settings.get("rounds", 3))
    with tempfile.TemporaryDirectory() as scratch:
        data = draw_tree(Path(scratch) / "tree")
        square = make_trainer(data, Path(scratch) / "square", False, settings)
        rectangle = make_trainer(data, Path(scratch) / "rectangle", True, settings)
        take(square, 1), take(rectangle, 1)
        rates: dict[str, list[float]] = {"square": [], "rectangle": []}
        shapes = {}
        for _ in range(rounds):
            for name, trainer in (("square", square), ("rectangle", rectangle)):
                seconds, images, shapes[name] = take(trainer, batches)
                rates[name].append(images / seconds)
    gain = float(np.median(np.asarray(rates["rectangle"]) / np.asarray(rates["square"])))
    pixels = float(np.prod(shapes["square"]) / np.prod(shapes["rectangle"]))
    packages = ", ".join(f"{name} {version(name)}" for name in ("ultralytics", "torch", "opencv-python"))
    print(f"{settings.get('model', 'yolov8n.yaml')}, {rounds} rounds of {batches} batches of 4, in turns; {packages}")
    for name, shape in shapes.items():
        print(f"{name:<10} {shape[1]}x{shape[0]}: {np.median(rates[name]):.2f} images a second")
    print(f"ratio of speeds {gain:.3f}, of pixels {pixels:.3f}: {gain / pixels:.3f} of it")
    record(file, "rectangular", {"speed": gain, "pixels": pixels, "share": gain / pixels})


if __name__ == "__main__":
    main()
