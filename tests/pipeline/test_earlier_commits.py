"""What an earlier commit wrote opens and answers the same: a run folder, its store, a packed system, a detector."""

import json
import shutil
from pathlib import Path

import pytest

from core.images import read_image
from core.records import read_detections, read_predictions
from pipeline.export import main as export
from pipeline.opening import open_pipeline, stored_config

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


@pytest.fixture(params=sorted(path.name for path in FIXTURES.glob("commit_*")))
def earlier(request, tmp_path):
    """A copy of what one commit left, which is the working folder: its settings name paths relative to it."""
    shutil.copytree(FIXTURES / request.param, tmp_path, dirs_exist_ok=True)
    return tmp_path


def told(path):
    """Every prediction of a file by image and caption: box, score, confidence."""
    return {
        (entry.image, p.caption): (*(p.box_ltwh or ()), p.score, p.confidence)
        for entry in read_predictions(path)
        for p in entry.predictions
    }


def test_the_store_answers_to_the_bit_and_asks_no_model(earlier):
    """The same words on the same store: equal keys of detector and scorer, so nothing is asked again."""
    words = [w for w in json.loads(Path("export/run.json").read_text())["command_line"][3:] if "run_dir=" not in w]
    export([*words, "candidates=export/candidates", "run_dir=again"])
    metrics = json.loads(Path("again/metrics.json").read_text())
    before = json.loads(Path("export/metrics.json").read_text())
    assert metrics["stages"] == {}
    for name in ("detector_key", "embeddings_key", "accuracy", "num_hits", "ci95"):
        assert metrics[name] == before[name]
    for name in ("predictions.jsonl", "detections.json"):
        assert Path("again", name).read_bytes() == Path("export", name).read_bytes()


@pytest.mark.parametrize("folder", ["export", "packed/system"])
def test_run_folder_and_packed_system_answer_as_they_did(earlier, folder):
    pipeline, stored = open_pipeline(folder), told(earlier / "export/predictions.jsonl")
    assert len(stored) > 10
    for image in sorted({image for image, _ in stored}):
        captions = [caption for name, caption in stored if name == image]
        found = pipeline.locate(read_image(earlier / "scenes/images" / image), captions)
        for prediction in found.predictions(image, captions):
            now = (*prediction.box_ltwh, prediction.score, prediction.confidence)
            assert now == pytest.approx(stored[image, prediction.caption], rel=1e-5)  # by image, not in one batch


def test_a_run_opens_from_any_folder(earlier, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    config = stored_config(str(earlier / "export"))
    assert Path(config.detector.weights).exists()
    assert Path(config.scorer.weights).exists()


def test_the_detector_finds_what_it_found_and_its_recipe_can_be_made_again(earlier):
    import albumentations

    import data.augment  # noqa: F401 (registers its transforms)
    from detector.predict import main as predict
    from detector.weights import load_model

    cut = ["cut.confidence=0.001", "cut.nms_iou=0.5", "cut.max_det=300", "device=cpu"]
    words = ["images=scenes/images", "annotations=split/val.jsonl", "detector=detector", *cut]
    predict([*words, "run_dir=found"])
    now, before = (read_detections(earlier / run / "detections.json") for run in ("found", "export"))
    assert [d.image for d in now] == [d.image for d in before]
    for ours, theirs in zip(now, before, strict=True):
        assert (*ours.box_ltwh, ours.score) == pytest.approx((*theirs.box_ltwh, theirs.score), rel=1e-4, abs=1e-3)
    (recipe,) = load_model(earlier / "detector/weights/best.pt")[1]["train_args"]["augmentations"]
    names = [step["__class_fullname__"] for step in recipe["transform"]["transforms"]]
    assert sum(name.startswith("data.augment.") for name in names) > 3
    made = albumentations.from_dict(recipe)
    assert [
        f"{type(step).__module__}.{type(step).__name__}" for step in made.transforms if "data." in type(step).__module__
    ] == [name for name in names if name.startswith("data.")]
