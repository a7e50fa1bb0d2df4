"""An annotation file without images, drawn, becomes a trainable set: the chain of the room's commands."""

import json
from pathlib import Path

import numpy as np
import pytest

from core.images import image_size, read_image
from data.check import main as check_main
from data.crops import main as crops_main
from data.cropset import read_crop_set, verify_set
from data.noise import main as noise_main
from data.scenes import main as scenes_main
from data.split import main as split_main
from data.yolo import main as yolo_main


def draw_and_prepare() -> dict[str, dict[str, object]]:
    """Draw `file.jsonl`, then split, YOLO tree, crops, noise and check; returns the metrics of each command."""
    scenes_main(["annotations=file.jsonl", "run_dir=drawn", "workers=1"])
    split_main(["annotations=file.jsonl", "val_fraction=0.25", "run_dir=split"])
    yolo_main(["annotations=split/train.jsonl", "val=split/val.jsonl", "images=drawn/images", "run_dir=yolo"])
    crops_main(["annotations=file.jsonl", "images=drawn/images", "run_dir=crops"])
    noise_main(["annotations=split/val.jsonl", "images=drawn/images", "grade=gauss1000", "run_dir=noise"])
    check_main(["annotations=split/train.jsonl", "val=split/val.jsonl", "images=drawn/images", "run_dir=check"])
    names = ("split", "yolo", "crops", "noise", "check")
    return {name: json.loads(Path(name, "metrics.json").read_text()) for name in names}


def test_lines_of_the_real_file(reference_dir):
    lines = (reference_dir / "til24" / "vlm.jsonl").read_text().splitlines(keepends=True)
    Path("file.jsonl").write_text("".join([*lines[:3], lines[1449]]))
    metrics = draw_and_prepare()
    entries = [json.loads(line) for line in Path("file.jsonl").read_text().splitlines()]
    num_boxes = sum(len(e["annotations"]) for e in entries)
    assert metrics["crops"]["num_crops"] == num_boxes
    assert metrics["crops"]["num_partly_outside"] == metrics["check"]["box_over_edge"] == 1
    assert metrics["check"]["unreadable_image"] == metrics["check"]["missing_image"] == 0
    crop_set = read_crop_set("crops")
    verify_set(crop_set)
    for crop in crop_set.crops:
        entry = next(e for e in entries if e["image"] == crop.image)
        _, top, width, height = entry["annotations"][crop.index]["bbox"]
        assert image_size(crop_set.path(crop)) == (width, height + min(top, 0))
        assert crop.caption == entry["annotations"][crop.index]["caption"]


def test_lines_made_up(write_jsonl, entry):
    entries = [entry(i, [[400, 200, 64, 40], [900, 300, 80, 44], [100 + 40 * i, 500, 52, 28]]) for i in range(4)]
    entries[2]["annotations"][0]["bbox"] = [700, -8, 60, 40]
    write_jsonl(Path("file.jsonl"), entries)
    metrics = draw_and_prepare()
    assert (metrics["split"]["num_train"], metrics["yolo"]["num_val_boxes"], metrics["crops"]["num_crops"]) == (
        3,
        3,
        12,
    )
    assert metrics["crops"]["num_partly_outside"] == 1
    assert metrics["check"]["leak_content"] == metrics["check"]["leak_near"] == 0
    clean, noisy = (read_image(f"{folder}/images/image_3.jpg") for folder in ("drawn", "noise"))
    assert np.std(noisy.astype(float) - clean) == pytest.approx(1000**0.5, rel=0.1)
