"""Every detector preset composes, its model descriptions build, and published settings are what was published."""

import importlib.resources
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from core.errors import InputError
from detector.build import build_detector
from detector.settings import DetectorConfig, SliceMode, StageState
from detector.train.loop.settings import loop_settings
from detector.train.loop.starting import start_model
from detector.train.settings import TrainConfig
from detector.train.start import find_start, is_loop_start
from eval.figures import DETECTOR_LOSSES, DETECTOR_VALIDATION, HEADLINES

PRESETS = sorted(
    p.name.removesuffix(".yaml") for p in importlib.resources.files("configs").joinpath("detector").iterdir()
    if p.name.endswith(".yaml")
)  # fmt: skip


def composed(preset: str) -> TrainConfig:
    from grounder.compose import compose_config, register

    name = register("detector.train", TrainConfig)
    config = OmegaConf.to_object(compose_config(name, ["data=somewhere", f"detector={preset}"]))
    assert isinstance(config, TrainConfig)
    return config


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_composes_with_arguments_that_its_trainer_knows(preset: str) -> None:
    from detector.train.arguments import check_arguments

    training = composed(preset).detector.train
    check_arguments(training.args)  # our loop takes Ultralytics' own names
    for stage in training.stages:
        check_arguments(stage.args, "stages[].args")
        if "yolov6" in str(training.model):
            loop_settings(training.args, stage.args, "stages[].args")


@pytest.mark.parametrize("model", ["yolov9e", "yolov9c"])
def test_yolov9_is_trained_as_the_log_says(model: str) -> None:
    detector = composed(model).detector
    assert detector.weights == f"{model}.pt"
    assert [(s.imgsz, s.epochs, s.state) for s in detector.train.stages] == [
        (1280, 55, StageState.fresh), (1600, 7, StageState.fresh)]  # fmt: skip
    args = detector.train.args
    assert (args["optimizer"], args["lr0"], args["nbs"], args["cos_lr"]) == ("AdamW", 0.001, 64, True)
    resumed = composed(f"{model}_resumed").detector.train.stages
    assert [(s.imgsz, s.epochs, s.schedule_epochs, s.state) for s in resumed] == [
        (1280, 55, 80, StageState.fresh), (1600, 7, 80, StageState.kept)]  # fmt: skip
    assert resumed[1].args["mosaic"] == 0
    assert composed(f"{model}_640").detector.train.stages[0].imgsz == 640
    assert composed(f"{model}_blind").detector.train.blind


def test_yolov6l6_has_the_published_solver_and_shape() -> None:
    from detector.train.windows import rectangle_of

    detector = composed("yolov6l6").detector
    args, (stage,) = detector.train.args, detector.train.stages
    assert (args["lr0"], args["lrf"], args["momentum"], args["weight_decay"]) == (0.0032, 0.12, 0.843, 0.00036)
    assert (stage.imgsz, stage.epochs, stage.recipe) == (1536, 200, "v3_noflip")
    with pytest.raises(InputError, match=r"look for it in https://\S+ and put it there, or detector.train.model="):
        find_start(detector)
    detector.train.model = "yolov6l6.yaml"
    start = find_start(detector)
    assert is_loop_start(start)
    with torch.device("meta"):
        model = start_model(start, stage.imgsz, 4)
    assert (model.stride, sum(p.numel() for p in model.parameters())) == (64, 140_261_554)  # Meituan's
    assert rectangle_of([(870, 1520)], stage.imgsz, 64) == (896, 1536)


@pytest.mark.parametrize("name", ["yolov8n.yaml", "yolov8s-p6.yaml", "yolov9e.yaml"])
def test_ultralytics_descriptions_start_a_training_by_their_usual_names(name: str) -> None:
    """`yolov8n.yaml` is no file of theirs: it is yolov8.yaml at the scale n."""
    from detector.settings import TrainingConfig

    assert str(find_start(DetectorConfig(train=TrainingConfig(model=name)))) == name


def test_settings_from_the_command_line_reach_ultralytics_arguments() -> None:
    from grounder.compose import compose_config, register

    name = register("detector.train", TrainConfig)
    words = ["data=x", "detector=demo", "detector.train.args.mixup=0.5", "stages=[{imgsz: 64, args: {lr0: 0.1}}]"]
    config = OmegaConf.to_object(compose_config(name, words))
    assert isinstance(config, TrainConfig)
    assert config.detector.train.args["mixup"] == 0.5
    assert config.stages[0].args == {"lr0": 0.1}


def test_a_mixed_ensemble_is_a_line_of_settings() -> None:
    """Two checkpoints, resolutions and views, slices with weights of their own, fused by name."""
    from detector.predict import PredictConfig
    from grounder.compose import compose_config, register

    full = "{weights: a.pt, imgsz: 1600, views: [tta, flip_lr+rotate_90]}"
    sliced = "{weights: b.pt, imgsz: [896, 896], slices: {mode: auto, full: false}}"
    words = ["images=x", f"detector.members=[{full}, {sliced}]", "cut.fusion.view_weights={*/slice_*: 0.5}"]
    name = register("detector.predict", PredictConfig)
    config = OmegaConf.to_object(compose_config(name, [*words, "cut.fusion.method=wbf"]))
    assert isinstance(config, PredictConfig)
    first, second = config.detector.members
    assert (first.weights, first.imgsz, first.views) == ("a.pt", 1600, ["tta", "flip_lr+rotate_90"])
    assert (second.imgsz, second.slices.mode, second.slices.full) == ([896, 896], SliceMode.auto, False)
    assert config.cut.fusion.view_weights == {"*/slice_*": 0.5}


@pytest.mark.parametrize(("kind", "description"), [
    ("WorldModel", "yolov8s-worldv2.yaml"), ("YOLOEModel", "yoloe-v8s.yaml"), ("YOLOESegModel", "yoloe-11s-seg.yaml"),
])  # fmt: skip
def test_open_vocabulary_models_propose(
    kind: str, description: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their own networks from their descriptions; the text tower is a download, so its embeddings are drawn here."""
    from ultralytics.nn import tasks

    torch.manual_seed(0)
    model = getattr(tasks, kind)(description, nc=80, verbose=False)
    for part in model.modules():
        if "Contrastive" in type(part).__name__:  # as it begins, all but sure that there is nothing anywhere
            torch.nn.init.zeros_(part.bias)
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():  # without statistics of its own layers, an untrained network's features are all but zero
        model.train().predict(torch.rand(2, 3, 64, 96))
    torch.save({"model": model.eval().half(), "train_args": {"imgsz": 64}}, tmp_path / "open.pt")
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    (everything,) = build_detector(DetectorConfig(weights=str(tmp_path / "open.pt"))).propose([image])
    assert everything[0].name == "open/plain"

    asked_for: list[list[str]] = []

    def drawn(self: object, text: list[str], **_: object) -> torch.Tensor:
        asked_for.append(list(text))
        return torch.nn.functional.normalize(torch.randn(1, len(text), 512), dim=-1)

    monkeypatch.setattr(getattr(tasks, kind), "get_text_pe", drawn)
    config = DetectorConfig(weights=str(tmp_path / "open.pt"), classes=["missile", "helicopter"])
    (asked,) = build_detector(config).propose([image])
    found = asked[0].candidates
    assert asked_for == [["missile", "helicopter"]]
    assert 0 < len(found) <= 12 * 8 + 6 * 4 + 3 * 2
    assert not np.array_equal(found.confidence, everything[0].candidates.confidence)


@pytest.fixture
def three_classes(tmp_path: Path, tiny_model: Path) -> Path:
    """A YOLO of three classes as Ultralytics saves it, and the same as ONNX beside it."""
    from ultralytics import YOLO

    torch.manual_seed(0)
    tiny_model.write_text(tiny_model.read_text().replace("nc: 1", "nc: 3"))
    model = YOLO(str(tiny_model), verbose=False)
    model.model.names = {0: "Airplane", 1: "bird", 2: "fire truck"}
    for branch in model.model.model[-1].cv3:
        torch.nn.init.normal_(branch[-1].weight, std=2000.0)
        torch.nn.init.constant_(branch[-1].bias, -1.0)
    model.save(str(tmp_path / "three.pt"))
    YOLO(str(tmp_path / "three.pt")).export(format="onnx", imgsz=(64, 96), verbose=False)
    return tmp_path


@pytest.mark.parametrize("suffix", ["pt", "onnx"])
def test_classes_of_an_ordinary_checkpoint_are_those_that_count(three_classes: Path, suffix: str) -> None:
    """A box's confidence is the highest of the classes that count: of all three, of each alone, of two."""
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)

    def found(*classes: str) -> dict[tuple[float, ...], float]:
        config = DetectorConfig(weights=str(three_classes / f"three.{suffix}"), classes=list(classes), imgsz=96)
        ((view,),) = build_detector(config).propose([image])
        boxes = view.candidates.boxes_xyxy.round(1).tolist()
        best: dict[tuple[float, ...], float] = {}
        for box, confidence in zip(map(tuple, boxes), view.candidates.confidence.tolist(), strict=True):
            best[box] = max(confidence, best.get(box, 0.0))
        return best

    everything, alone = found(), [found(name) for name in ("airplane", "bird", "fire truck")]
    assert all(alone)
    assert any(one != everything for one in alone)
    for box, confidence in everything.items():
        assert confidence == pytest.approx(max(one.get(box, 0.0) for one in alone), abs=2e-3)
    for box, confidence in found("fire truck", "Airplane").items():
        assert confidence == pytest.approx(max(alone[n].get(box, 0.0) for n in (0, 2)), abs=2e-3)
    with pytest.raises(InputError, match=r"no class 'airplain'; the nearest is 'Airplane'"):
        found("airplain")
    with pytest.raises(InputError, match=r"no class 'submarine'; it has Airplane, bird, fire truck"):
        found("submarine")


def test_classes_of_a_detector_of_one_class_are_refused_by_name(trained: tuple[Path, list[np.ndarray]]) -> None:
    with pytest.raises(InputError, match="the network has no class 'missile'; it has "):
        build_detector(DetectorConfig(weights=str(trained[0]), classes=["missile"]))


def test_an_rt_detr_of_ultralytics_is_told_what_is_supported(tmp_path: Path) -> None:
    from ultralytics.nn.tasks import RTDETRDetectionModel

    model = RTDETRDetectionModel("rtdetr-resnet50.yaml", nc=1, verbose=False)
    torch.save({"model": model.half()}, tmp_path / "rtdetr.pt")
    with pytest.raises(InputError, match="is an RT-DETR of Ultralytics', which is not supported; a YOLO is"):
        build_detector(DetectorConfig(weights=str(tmp_path / "rtdetr.pt")))


def test_epochs_alone_make_one_stage_of_a_preset_of_several() -> None:
    """`epochs=3`, a first word of users of Ultralytics."""
    from detector.train.stages import _stages

    config = TrainConfig(data="x", detector=composed("demo").detector, epochs=3)
    first = config.detector.train.stages[0]
    assert [(s.epochs, s.imgsz) for s in _stages(config)] == [(3, first.imgsz)]
    config = TrainConfig(data="x", detector=config.detector, stages=[first, first], epochs=3)
    with pytest.raises(InputError, match="epochs: this training has 2 stages; give all of them by stages="):
        _stages(config)


def test_tracking_carries_settings_epochs_and_batches(make_tree: Callable, train: Callable) -> None:
    """What W&B gets also lies in the run folder: a line an epoch with AP, and sheets of augmented batches."""
    run = train(make_tree())
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if "epoch" in line]
    assert [line["epoch"] for line in epochs] == [1, 2]
    assert {*DETECTOR_VALIDATION, *DETECTOR_LOSSES, "lr/pg0"} <= set(epochs[0])
    (best,) = [line for line in lines if "epoch" not in line]  # the best epoch's, which are the command's metrics
    assert {f"best/{name}" for name in HEADLINES["detector.train"]} <= set(best)
    from core.images import read_image

    assert read_image(run / "stage_1" / "sample_0.jpg").shape == (128, 128, 3)  # four inputs of 64x64
    assert json.loads((run / "settings.json").read_text())["seed"] == 0
