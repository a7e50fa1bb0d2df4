"""transformers' detectors in our loop: their own losses, every kind that trains learns, the others are refused."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from core.errors import InputError
from detector.build import build_detector
from detector.models.detr import KINDS, TRAINABLE, DetrModel
from detector.settings import DetectorConfig, StageConfig

ARGS = {
    "workers": 0,
    "optimizer": "AdamW",
    "lr0": 0.003,
    "momentum": 0.9,
    "ema": 0.9,
    "mosaic": 0.0,
    "val": False,
}


@pytest.mark.parametrize("kind", TRAINABLE)
def test_losses_are_transformers_own(kind: str, tiny_detr: Callable) -> None:
    """Boxes in pixels, one image without any; the same seed draws the same queries to be denoised."""
    detr = tiny_detr(kind).train()
    images = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[10.0, 20.0, 40.0, 50.0], [0.0, 0.0, 96.0, 64.0]])
    targets = [(boxes, torch.zeros(2, dtype=torch.long)), (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)),
               (boxes[:1], torch.zeros(1, dtype=torch.long))]  # fmt: skip
    centres = torch.tensor([[25 / 96, 35 / 64, 30 / 96, 30 / 64], [0.5, 0.5, 1.0, 1.0]])
    labels = [{"class_labels": classes, "boxes": centres[: len(classes)]} for _, classes in targets]
    torch.manual_seed(0)
    theirs = detr(pixel_values=images, labels=labels)
    for part in detr.modules():  # what the first call added to the running statistics
        if isinstance(part, torch.nn.BatchNorm2d):
            part.reset_running_stats()
    torch.manual_seed(0)
    ours = DetrModel(detr, {}, 96).losses(images, targets, 0)
    assert ours["loss"].item() == pytest.approx(theirs.loss.item(), rel=1e-6)
    assert {name: value.item() for name, value in ours.items() if name != "loss"} == pytest.approx(
        {name: theirs.loss_dict[name].item() for name in ours if name != "loss"}
    )
    ours["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in detr.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", ["d_fine", "rt_detr_v2"])  # the others go through the same lines
def test_a_folder_learns(kind: str, tiny_detr: Callable, make_tree: Callable, train: Callable) -> None:
    """From a folder with three classes: one class after it, a loss that falls, a detector in the end."""
    tree = make_tree(train=8, val=2)
    start = tree.parent / kind
    detr = tiny_detr(kind)
    detr.config.num_labels = 3
    detr = type(detr)(detr.config)
    DetrModel(detr, {}, 64).write(start)
    run = train(tree, model=str(start), stages=[StageConfig(imgsz=64, epochs=12, args=ARGS)])
    losses = [float(row["train/loss"]) for row in csv.DictReader((run / "results.csv").open())]
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
    from transformers import AutoModelForObjectDetection

    again = AutoModelForObjectDetection.from_pretrained(run / "weights" / "best")
    assert (again.config.model_type, again.config.num_labels) == (kind, 1)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    ((view,),) = build_detector(DetectorConfig(weights=str(run))).propose([image])
    assert len(view.candidates) > 0


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(TRAINABLE)))
def test_kinds_that_are_only_run_say_so_before_any_work(
    kind: str, tiny_detr: Callable, make_tree: Callable, train: Callable, tmp_path: Path
) -> None:
    tree = make_tree(train=4, val=2)
    folder = tmp_path / kind
    DetrModel(tiny_detr(kind), {}, 128).write(folder)
    (tmp_path / f"{kind}.yaml").write_text(yaml.safe_dump({"model_type": kind}))
    for start in (folder, tmp_path / f"{kind}.yaml"):
        with pytest.raises(InputError, match=rf"field 'model_type': '{kind}' is not trained here, only run; yolov6, "):
            train(tree, model=str(start))
    assert not (tmp_path / "run" / "stage_1").exists()
