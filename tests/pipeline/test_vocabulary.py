"""Open-vocabulary YOLOs as one-stage models: Ultralytics' own boxes, caption by caption, and the export's files."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import InputError
from core.images import read_image
from core.records import read_predictions
from data.captions import read_annotations
from onestage.settings import OneStageConfig
from pipeline.export import main

KINDS = {"WorldModel": "yolov8s-worldv2.yaml", "YOLOEModel": "yoloe-v8s.yaml"}


def drawn(self, text, **_):
    """What stands in for the text tower, a download of its own: each caption's vector, drawn by its letters."""
    vectors = [torch.randn(512, generator=torch.Generator().manual_seed(zlib.crc32(t.encode()))) for t in text]
    return torch.nn.functional.normalize(torch.stack(vectors), dim=-1)[None]


@pytest.fixture(params=KINDS)
def opened(request, tmp_path, monkeypatch):
    """(file, Ultralytics' own class for it) of a random network."""
    import ultralytics
    from ultralytics.nn import tasks

    from detector import environment as environment  # before any test imports ultralytics

    torch.manual_seed(0)
    model = getattr(tasks, request.param)(KINDS[request.param], nc=80, verbose=False)
    for part in model.modules():
        if "Contrastive" in type(part).__name__:  # as it begins, all but sure that there is nothing anywhere
            torch.nn.init.zeros_(part.bias)
            torch.nn.init.constant_(part.logit_scale, -5.0)  # untrained features are long: few scores shall be 1
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():  # without statistics of its own layers, an untrained network's features are all but zero
        model.train().predict(torch.rand(2, 3, 64, 96))
    torch.save({"model": model.eval().half(), "train_args": {"imgsz": 160}}, tmp_path / "open.pt")
    monkeypatch.setattr(getattr(tasks, request.param), "get_text_pe", drawn)
    return tmp_path / "open.pt", ultralytics.YOLOWorld if request.param == "WorldModel" else ultralytics.YOLOE


def by_ultralytics(kind, file, image, caption):
    """(N, 4) boxes and confidences of the library's own predictor for one class, none suppressed, best first."""
    model = kind(str(file))
    if kind.__name__ == "YOLOE":
        model.model.set_classes([caption], model.model.get_text_pe([caption]))
    else:
        model.model.set_classes([caption])
    (told,) = model.predict(image[..., ::-1], conf=0.001, iou=1.0, max_det=1000, imgsz=160, verbose=False, device="cpu")
    boxes = told.boxes.xyxy.numpy()
    whole = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])  # it keeps what lies outside the image as lines
    return boxes[whole], told.boxes.conf.numpy()[whole]


def test_every_captions_boxes_are_those_of_the_librarys_own_predictor(opened, system):
    from pipeline.vocabulary import build_vocabulary

    file, kind = opened
    entries = read_annotations(system / "scenes/annotations.jsonl")[:2]
    images = [read_image(system / "scenes/images" / entry.image) for entry in entries]
    captions = [["red drone", "grey helicopter"], ["a jet", "red drone"]]
    model = build_vocabulary(OneStageConfig(weights=str(file)), "cpu")
    found = {(number, place): grounded for number, place, grounded in model.ground(images, captions)}
    assert sorted(found) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for (number, place), grounded in found.items():
        mine = grounded.candidates
        boxes, confidence = by_ultralytics(kind, file, images[number], captions[number][place])
        assert len(boxes) > 3
        side = max(images[number].shape)
        np.testing.assert_allclose(mine.confidence, confidence, atol=1e-5)
        # an untrained network's features are long: in a corner here and there single precision's rounding shows
        errors = np.abs(mine.boxes_xyxy - boxes) / side
        assert np.quantile(errors, 0.99) < 1e-5
        assert errors.max() < 1e-3
    assert found[0, 0].candidates.boxes_xyxy.tolist() != found[0, 1].candidates.boxes_xyxy.tolist()  # by confidence


def test_an_export_answers_with_them_and_is_judged(opened, system):
    file, kind = opened
    main([f"annotations={system}/scenes/annotations.jsonl", f"images={system}/scenes/images", f"onestage={file}",
          "batch=2", "tracking.mode=disabled", "run_dir=run"])  # fmt: skip
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["num_captions"] == sum(
        len(e.annotations) for e in read_annotations(f"{system}/scenes/annotations.jsonl")
    )
    assert "ci95" in metrics
    entry = next(iter(read_predictions(Path("run/predictions.jsonl"))))
    image = read_image(system / "scenes/images" / entry.image)
    for prediction in entry.predictions:
        boxes, confidence = by_ultralytics(kind, file, image, prediction.caption)
        left, top, width, height = prediction.box_ltwh
        np.testing.assert_allclose([left, top, left + width, top + height], boxes[confidence.argmax()], atol=0.16)
        np.testing.assert_allclose(prediction.score, confidence.max(), atol=1e-5)


def test_a_missing_text_tower_and_a_wrong_checkpoint_are_one_line(opened, system, monkeypatch):
    from pipeline.vocabulary import build_vocabulary

    def absent(self, text, **_):
        raise ModuleNotFoundError("No module named 'clip'")

    file, _ = opened
    model = build_vocabulary(OneStageConfig(weights=str(file)), "cpu")
    monkeypatch.setattr(type(model._network._model), "get_text_pe", absent)
    image = np.zeros((64, 96, 3), np.uint8)
    with pytest.raises(InputError, match=r"open\.pt: its text tower could not be loaded: .*'clip'"):
        list(model.ground([image], [["red drone"]]))
    with pytest.raises(InputError, match="is no YOLO-World and no YOLOE"):
        build_vocabulary(OneStageConfig(weights=str(system / "detector.pt")), "cpu")


@pytest.mark.parametrize("preset", ["yolo_world", "yoloe"])
def test_presets_name_weights_that_ultralytics_publishes(preset):
    import yaml
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    from detector import environment as environment  # before any test imports ultralytics

    told = yaml.safe_load((Path(__file__).parents[2] / f"configs/onestage/{preset}.yaml").read_text())
    assert told["weights"] in GITHUB_ASSETS_NAMES
    assert told["family"] == "yolo"
