"""The loop trains YOLOv6, D-FINE and RT-DETRv2 in stages, goes on to the bit, alone or as two, refuses wrong input."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core.errors import InputError
from core.images import read_image
from data.recipe import RecipeConfig
from detector.build import build_detector
from detector.settings import DetectorConfig, StageConfig, StageState
from detector.train.loop.settings import LoopSettings, loop_settings
from detector.train.loop.steps import Average, make_optimizer, set_rates
from detector.train.states import StateFolder
from detector.train.tree import read_tree

QUICK = {"workers": 0, "optimizer": "AdamW", "lr0": 0.003, "momentum": 0.9, "ema": 0.9}


def weights(run: Path, name: str = "best") -> dict[str, torch.Tensor]:
    return load_file(run / "weights" / name / "model.safetensors")


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert set(one) == set(other)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_tiny_yolov6_learns_and_is_a_detector(make_tree: Callable, train: Callable, tmp_path: Path) -> None:
    tree = make_tree(train=16)
    args = {**QUICK, "mosaic": 0.0, "scale": 0.2, "ema": 0.98, "val": False, "atss_epochs": 8}
    run = train(tree, model="yolov6_tiny.yaml", stages=[StageConfig(imgsz=96, epochs=36, args=args)])
    rows = list(csv.DictReader((run / "results.csv").open()))
    assert len(rows) == 36
    assert float(rows[-1]["metrics/mAP50(B)"]) > 0.4
    assert json.loads((run / "weights" / "best" / "config.json").read_text())["model_type"] == "yolov6"
    detector = build_detector(DetectorConfig(weights=str(run)))
    for path in sorted((tree / "images" / "val").glob("*.png")):
        ((view,),) = detector.propose([read_image(path)])
        assert view.name == "run/plain"
        best = view.candidates.boxes_xyxy[view.candidates.confidence.argmax()]
        pixels = read_image(path)[int(best[1]) + 2 : int(best[3]) - 2, int(best[0]) + 2 : int(best[2]) - 2]
        assert pixels[..., 0].mean() > 150  # it lies on something red


@pytest.mark.parametrize("model", ["yolov6_tiny.yaml", "d_fine_tiny.yaml"])  # RT-DETRv2 goes through D-FINE's lines
@pytest.mark.parametrize("when", ["within an epoch", "before its state"])
def test_a_killed_training_ends_at_the_same_weights(
    model: str, when: str, make_tree: Callable, train: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second stage goes on with the first one's optimizer; the kill comes in it."""
    tree = make_tree(train=8)
    recipe = RecipeConfig(steps=[{"op": "flip", "p": 0.5}])
    stages = [
        StageConfig(imgsz=64, epochs=1, schedule_epochs=4, args=QUICK),
        StageConfig(imgsz=96, epochs=3, schedule_epochs=4, state=StageState.kept, args={**QUICK, "close_mosaic": 1}),
    ]
    whole = train(tree, "whole", model=model, stages=stages, recipe=recipe)
    calls = 0

    def stop_at(number: int, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                raise KeyboardInterrupt
            return real(*args)

        return counted

    with monkeypatch.context() as patch:
        if when == "within an epoch":
            patch.setattr(Average, "update", stop_at(6, Average.update))
        else:
            patch.setattr(StateFolder, "save", stop_at(3, StateFolder.save))
        with pytest.raises(KeyboardInterrupt):
            train(tree, "killed", model=model, stages=stages, recipe=recipe)
    killed = train(tree, "killed", model=model, stages=stages, recipe=recipe)
    for name in ("best", "last"):
        assert_equal(weights(whole, name), weights(killed, name))
    without_time = [
        [{k: v for k, v in row.items() if k != "time"} for row in csv.DictReader((run / "results.csv").open())]
        for run in (whole, killed)
    ]
    assert without_time[0] == without_time[1]
    assert [row["epoch"] for row in without_time[0]] == ["2", "3", "4"]


def test_two_processes_train_one_model(make_tree: Callable, run_processes: Callable, tmp_path: Path) -> None:
    tree = make_tree(train=8)
    args = "{batch: 4, nbs: 4, workers: 0, plots: false, lr0: 0.01, warmup_epochs: 0}"
    words = [
        f"data={tree}", "detector.train.model=yolov6_tiny.yaml", "stages=[{imgsz: 64, epochs: 2}]",
        f"detector.train.args={args}", "device=cpu", "tracking.mode=disabled", "recipe=none",
    ]  # fmt: skip
    run_processes(2, "-m", "detector.train", *words, f"run_dir={tmp_path / 'two'}")
    rows = list(csv.DictReader((tmp_path / "two" / "results.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(np.isfinite(float(row["train/loss"])) for row in rows)
    assert json.loads((tmp_path / "two" / "run.json").read_text())["state"] == "done"
    assert set(weights(tmp_path / "two")) == set(weights(tmp_path / "two", "last"))


def test_a_start_on_other_classes_keeps_all_but_their_layers(make_tree: Callable, train: Callable) -> None:
    """One epoch at no rate: what is written is what was read, but for the class predictors."""
    from detector.models.yolov6 import YoloV6Model
    from detector.yolov6.graph import Graph
    from detector.yolov6.network import YoloV6

    tree = make_tree(train=4)
    start = tree.parent / "eighty"
    YoloV6Model(YoloV6(Graph(80, 0.0625, 0.1)), 64).write(start)
    args = {**QUICK, "lr0": 1e-12, "weight_decay": 0.0}
    run = train(tree, model=str(start), stages=[StageConfig(imgsz=64, epochs=1, args=args)])
    before, after = load_file(start / "model.safetensors"), weights(run)
    assert after["detect.cls_preds.0.weight"].shape[0] == 1
    for name in before:
        if "cls_preds" not in name and "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(before[name], after[name])


def test_rates_are_functions_of_the_batch_alone() -> None:
    """Ten batches an epoch, ten epochs, two of warm-up: a line up, then a cosine from lr0 to lrf * lr0."""
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    settings = LoopSettings(lr0=0.1, lrf=0.2, cos_lr=True, warmup_epochs=2, warmup_bias_lr=0.5, momentum=0.9)
    optimizer = make_optimizer(model, settings)
    names = {g["name"]: g for g in optimizer.param_groups}
    assert {n: len(g["params"]) for n, g in names.items()} == {"bias": 2, "norm": 1, "weight": 1}
    assert (names["weight"]["weight_decay"], names["norm"]["weight_decay"]) == (0.0005, 0.0)
    for batch, weight, bias, momentum in (
        (0, 0.0, 0.5, 0.8),
        (10, 0.5 * 0.1 * (1 - 0.8 * 0.0244717), None, 0.85),
        (50, 0.06, 0.06, 0.9),
        (100, 0.02, 0.02, 0.9),
    ):
        set_rates(optimizer, settings, batch, 10, 10)
        assert names["weight"]["lr"] == pytest.approx(weight, rel=1e-4)
        assert bias is None or names["bias"]["lr"] == pytest.approx(bias)
        assert names["weight"]["momentum"] == pytest.approx(momentum)
    adam = replace(settings, optimizer="AdamW")
    optimizer = make_optimizer(model, adam)
    set_rates(optimizer, adam, 0, 10, 10)
    assert [g["lr"] for g in optimizer.param_groups] == [0.0, 0.0, 0.0]  # Adam's step is as long as its rate


def test_the_average_follows_its_formula() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 0.0)
    average = Average(model, 0.5)
    torch.nn.init.constant_(model.weight, 1.0)
    expected = 0.0
    for step in range(1, 4):
        average.update(model)
        decay = 0.5 * (1 - np.exp(-step / 2000))
        expected = decay * expected + (1 - decay)
        assert average.values["weight"].item() == pytest.approx(expected)


def test_wrong_settings_and_labels_are_named(make_tree: Callable, train: Callable) -> None:
    for args, message in (
        ({"lr": 0.1}, r"detector.train.args.lr: the loop for this detector has no such setting; the nearest is 'lr"),
        ({"batch": 2.5}, r"args.batch: 2.5 is no int"),
        ({"cache": "rom"}, r"args.cache: 'rom' is none of True, False, ram, disk"),
        ({"fliplr": 2}, r"args.fliplr: 2 is out of range"),
        ({"optimizer": "Lion"}, r"args.optimizer: 'Lion' is neither SGD nor AdamW"),
    ):
        with pytest.raises(InputError, match=message):
            loop_settings(args, {}, "stages[0].args")
    assert loop_settings({"lr0": 1, "cache": "ram"}, {"lr0": 2}, "") == LoopSettings(lr0=2.0, cache=True)
    assert loop_settings({"cache": "disk"}, {}, "") == LoopSettings()
    tree = make_tree(train=4)
    label = next((tree / "labels" / "train").glob("*.txt"))
    label.write_text("0 0.5 0.5 0.1\n")
    with pytest.raises(InputError, match=rf"{label.name}.*1.*4 words"):
        read_tree(str(tree))
    with pytest.raises(InputError, match="4 words"):
        train(tree, model="yolov6_tiny.yaml")
