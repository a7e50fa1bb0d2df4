"""A whole tiny system: a YOLO and a SiglipModel of random weights, drawn scenes, and the command that runs them."""

import importlib
import json

import pytest
import torch

from core.errors import InputError

CAPTIONS = ["red drone", "green missile", "grey helicopter"]
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
ARCHITECTURE = {
    "vision": {"image_size": 16, "patch_size": 8, "hidden_size": 32, "intermediate_size": 48,
               "num_hidden_layers": 1, "num_attention_heads": 2},
    "text": {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
             "projection_size": 32},
}  # fmt: skip


def save_detector(path, seed=0):
    try:
        importlib.import_module("detector.environment")  # before ultralytics, which reads the environment once
    except InputError:  # it is an extra; a folder of ours serves as well
        save_yolov6(path, seed)
        return
    from ultralytics import YOLO

    torch.manual_seed(seed)
    path.with_suffix(".yaml").write_text(TINY)
    model = YOLO(str(path.with_suffix(".yaml")), verbose=False)
    for branch in model.model.model[-1].cv3:  # an untrained head rates all boxes alike; let it differ
        torch.nn.init.normal_(branch[-1].weight, std=8000.0)  # its features are tiny
        torch.nn.init.constant_(branch[-1].bias, -1.0)
    model.save(str(path))


def save_yolov6(path, seed=0):
    """A folder with a YOLOv6 of random weights, whose cells differ in what they say."""
    from detector.models.yolov6 import YoloV6Model
    from detector.yolov6.graph import Graph
    from detector.yolov6.network import YoloV6

    torch.manual_seed(seed)
    network = YoloV6(Graph(num_classes=1, width=0.0625, depth=0.1))
    for part in (network.detect.cls_preds, network.detect.reg_preds):
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter, 0, 0.5)
    network.train()(torch.rand(4, 3, 64, 128))
    YoloV6Model(network.eval(), 160).write(path)


@pytest.fixture(scope="session")
def yolov6_folder(tmp_path_factory):
    """A detector's folder that needs no Ultralytics."""
    path = tmp_path_factory.mktemp("yolov6") / "six"
    save_yolov6(path)
    return path


@pytest.fixture(scope="session")
def system(tmp_path_factory, save_standin):
    """A folder with scenes/, detector.pt, scorer/ and upscaler/; other_detector.pt, other_scorer/ differ in weights."""
    from data.scenes import main as draw
    from siglip.model import make_model, save_checkpoint
    from upscale.build import build_upscaler
    from upscale.settings import UpscalerConfig

    root = tmp_path_factory.mktemp("system")
    draw(["num_images=5", "size=[160,96]", "target_size=[20,14]", "workers=1", f"run_dir={root}/scenes"])
    for seed, name in enumerate(("detector.pt", "other_detector.pt")):
        save_detector(root / name, seed)
    save_standin(root / "upscaler/standin.safetensors", features=4, convolutions=1)
    captions = {
        a["caption"]
        for line in (root / "scenes/annotations.jsonl").read_text().splitlines()
        for a in json.loads(line)["annotations"]
    }
    policy = build_upscaler(UpscalerConfig(weights=str(root / "upscaler/standin.safetensors"))).policy
    for seed, name in enumerate(("scorer", "other_scorer")):
        torch.manual_seed(seed)
        model, processor = make_model(ARCHITECTURE, sorted(captions))
        save_checkpoint(root / name, model, processor, {"template": "{}", "policy": policy})
    return root


@pytest.fixture(scope="session")
def export_words(system):
    """The settings of pipeline.export over the scenes, without its run folder."""
    return [f"annotations={system}/scenes/annotations.jsonl", f"images={system}/scenes/images",
            f"detector={system}/detector.pt", f"upscaler={system}/upscaler/standin.safetensors",
            f"scorer={system}/scorer", "confidence=0.3", "batch=2", "tracking.mode=disabled"]  # fmt: skip


@pytest.fixture(scope="session")
def exported(export_words, tmp_path_factory):
    """The run folder of an export over the scenes; for reading only."""
    from pipeline.export import main

    folder = tmp_path_factory.mktemp("exported") / "run"
    main([*export_words, f"run_dir={folder}"])
    return folder


@pytest.fixture
def export(export_words, capfd):
    """`export("name", *words)`: run pipeline.export over the scenes; returns the run folder."""
    from pathlib import Path

    from pipeline.export import main

    def run(name, *words):
        main([*export_words, f"run_dir={name}", *words])
        return Path(name)

    return run


@pytest.fixture(scope="session")
def pipeline(system):
    from detector.settings import DetectorConfig
    from pipeline.build import build_pipeline
    from pipeline.settings import PipelineConfig
    from siglip.settings import ScorerConfig
    from upscale.settings import UpscalerConfig

    return build_pipeline(PipelineConfig(
        detector=DetectorConfig(weights=str(system / "detector.pt")),
        upscaler=UpscalerConfig(weights=str(system / "upscaler/standin.safetensors")),
        scorer=ScorerConfig(weights=str(system / "scorer")), confidence=0.3, max_det=3,
    ))  # fmt: skip
