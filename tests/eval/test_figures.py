"""The names that reports and the dashboard ask for are those that the commands write: small runs of each.

Trainings and exports, which need models, are asked in their rooms' tests.
"""

import importlib
import json

import pytest

from eval.figures import HEADLINES
from eval.runs import find_runs


@pytest.fixture(scope="module")
def data_runs(tmp_path_factory):
    """A run of every command of data and upscale that has headlines, over five small scenes."""
    root = tmp_path_factory.mktemp("data")
    scenes = [f"annotations={root}/scenes/annotations.jsonl", f"images={root}/scenes/images"]
    for command, folder, words in (
        ("data.scenes", "scenes", ["num_images=5", "size=[160,96]", "target_size=[20,14]", "workers=1"]),
        ("data.split", "split", scenes[:1]),
        ("data.yolo", "yolo", [f"annotations={root}/split/train.jsonl", f"val={root}/split/val.jsonl", scenes[1]]),
        ("data.crops", "crops", scenes),
        ("upscale.crops", "enlarged", [f"crops={root}/crops", "upscaler=lanczos"]),
    ):
        importlib.import_module(command).main([*words, f"run_dir={root}/{folder}"])
    return root


def test_every_headline_of_the_data_commands_is_written(data_runs):
    runs = find_runs(str(data_runs))
    assert {run.command for run in runs} == {c for c in HEADLINES if c.startswith(("data.", "upscale."))}
    for run in runs:
        assert set(HEADLINES[run.command]) <= run.metrics.keys(), run.command
        assert run.figures().count(", ") == len(HEADLINES[run.command]) - 1


def test_every_headline_of_the_evaluations_is_written(made_up, tmp_path):
    store, truth = made_up.store(tmp_path, num_images=4)
    boxes = [{"image_id": 1, "bbox": [1, 2, 30, 20], "score": 0.5}]
    (tmp_path / "detections.json").write_text(json.dumps(boxes))
    for command, words in (
        ("eval.coco", [f"detections={tmp_path}/detections.json"]),
        ("eval.grounding", [f"predictions={truth}"]),
        ("eval.sweep", [f"candidates={store.folder}"]),
    ):
        importlib.import_module(command).main([f"truth={truth}", *words, f"run_dir={tmp_path}/runs/{command}"])
        metrics = json.loads((tmp_path / "runs" / command / "metrics.json").read_text())
        assert set(HEADLINES[command]) <= metrics.keys()
