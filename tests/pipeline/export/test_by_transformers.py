"""The export's figure recomputed by transformers' own pipeline, caption by caption: boxes, scores and accuracy."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.records import read_predictions
from pipeline.export import main

CAPTIONS = ["red drone", "grey helicopter", "white and blue jet", "the green missile"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of three drawn images of different shapes."""
    from core.images import encode_image

    folder, generator = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for number, shape in enumerate([(60, 100), (96, 64), (64, 112)]):
        blocks = generator.integers(0, 255, (shape[0] // 4, shape[1] // 4, 3), np.uint8)
        drawn = np.kron(blocks, np.ones((4, 4, 1), np.uint8))
        (folder / f"{number}.png").write_bytes(encode_image(drawn, ".png"))
    return folder


@pytest.fixture(params=["owlv2", "grounding_dino", "mm_grounding_dino"])
def model(request, tmp_path):
    """(folder of a tiny random model, how its label is written); the pipeline passes labels on as they stand."""
    from onestage.zero_shot import dino_text

    spec = importlib.util.spec_from_file_location("tiny", Path(__file__).parents[2] / "onestage/conftest.py")
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    torch.manual_seed(3)
    made, processor = tiny.MAKERS[request.param]()
    with torch.no_grad():  # so that boxes differ in place and size
        for name, weight in made.named_parameters():
            if "bbox_embed" in name or "box_head" in name:
                weight.normal_(std=0.5)
    made.eval().save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    return tmp_path / "model", str if request.param == "owlv2" else dino_text


@pytest.fixture
def by_pipeline(model, images, monkeypatch):
    """`by_pipeline(image, caption)`: (box, score) of the best box that transformers' pipeline finds for one label."""
    from transformers import pipeline
    from transformers.pipelines.zero_shot_object_detection import ZeroShotObjectDetectionPipeline

    folder, written = model
    # it would cut the boxes to whole pixels, the last thing it does with them
    monkeypatch.setattr(ZeroShotObjectDetectionPipeline, "_get_bounding_box", lambda self, box: box.tolist())
    find = pipeline("zero-shot-object-detection", model=str(folder), device="cpu")

    def best(image, caption):
        found = find(str(images / image), candidate_labels=[written(caption)], threshold=0.0)
        assert len(found) > 3
        return found[0]["box"], found[0]["score"]

    return best


def overlap(a, b):
    """IoU of two xyxy boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = np.prod(np.clip(np.subtract(high, low), 0, None))
    return shared / (np.prod(np.subtract(a[2:], a[:2])) + np.prod(np.subtract(b[2:], b[:2])) - shared)


def test_boxes_scores_and_accuracy_are_those_of_transformers_pipeline(model, images, by_pipeline):
    """Compared: corners over the image's longer side, and scores, to 1e-5; hits at IoU > 0.5 to the last one."""
    told, truth, lines = {}, {}, []
    for place, path in enumerate(sorted(images.iterdir())):
        entry = {"image": path.name, "annotations": []}
        for number, caption in enumerate(CAPTIONS):
            box, score = by_pipeline(path.name, caption)
            told[path.name, caption] = box, score
            x1, y1, x2, y2 = box
            inside = [max(x1, 0), max(y1, 0), x2, y2]
            width, height = inside[2] - inside[0], inside[3] - inside[1]
            # every third truth is cut to less than half of what the model will answer
            share = 0.3 if (place + number) % 3 == 0 else 0.9
            truth[path.name, caption] = [*inside[:2], inside[0] + width * share, inside[1] + height]
            entry["annotations"].append({"caption": caption, "bbox": [*inside[:2], width * share, height]})
        lines.append(json.dumps(entry))
    Path("truth.jsonl").write_text("\n".join(lines) + "\n")
    main(["annotations=truth.jsonl", f"images={images}", f"onestage={model[0]}", "onestage.floor=0", "run_dir=run",
          "tracking.mode=disabled"])  # fmt: skip
    hits = []
    for entry in read_predictions(Path("run/predictions.jsonl")):
        for prediction in entry.predictions:
            left, top, width, height = prediction.box_ltwh
            mine, (box, score) = [left, top, left + width, top + height], told[entry.image, prediction.caption]
            np.testing.assert_allclose(np.divide(mine, 100), np.divide(box, 100), atol=1e-5)
            np.testing.assert_allclose(prediction.score, score, atol=1e-5)
            hits.append(overlap(box, truth[entry.image, prediction.caption]) > 0.5)
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert (metrics["num_hits"], metrics["num_captions"]) == (sum(hits), len(hits))
    assert 0 < sum(hits) < len(hits) == 12
