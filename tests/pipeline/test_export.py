"""pipeline.export: the store, its reuse, and its agreement with the pipeline asked directly."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from core.images import read_image
from core.records import read_detections, read_predictions
from data.captions import read_annotations
from pipeline.export import main


def answers(folder):
    return {(p.image, p.caption): p for e in read_predictions(folder / "predictions.jsonl") for p in e.predictions}


def test_answers_equal_the_pipeline_asked_one_image_at_a_time(export, system):
    from pipeline.locate import open_pipeline

    folder = export("run")
    pipeline = open_pipeline(str(folder))
    told = answers(folder)
    for annotated in read_annotations(system / "scenes/annotations.jsonl"):
        captions = [a.caption for a in annotated.annotations]
        direct = pipeline.locate(read_image(system / "scenes/images" / annotated.image), captions)
        for prediction in direct.predictions(annotated.image, captions):
            stored = told[prediction.image, prediction.caption]
            np.testing.assert_allclose(stored.box_ltwh, prediction.box_ltwh, atol=1e-3)
            np.testing.assert_allclose(stored.score, prediction.score, atol=1e-6)


def test_metrics_hold_accuracy_times_and_memory(export):
    metrics = json.loads((export("run") / "metrics.json").read_text())
    assert metrics["num_images"] == 5
    assert 0 <= metrics["accuracy"] <= 1
    assert set(metrics["stages"]) == {"detector", "upscaler", "scorer", "texts"}
    assert metrics["stages"]["detector"]["count"] == 5
    assert metrics["peak_memory_mib"] > 0


def test_a_second_export_asks_no_model_and_a_wider_one_only_for_what_is_new(export, tmp_path):
    first = export("first")
    store = f"candidates={tmp_path}/first/candidates"
    again = export("again", store)
    assert (first / "predictions.jsonl").read_bytes() == (again / "predictions.jsonl").read_bytes()
    assert json.loads((again / "metrics.json").read_text())["stages"] == {}
    wider = export("wider", store, "sweep.confidence=[0.05]", "sweep.nms_iou=[0.9]", "sweep.max_det=[50]")
    stages = json.loads((wider / "metrics.json").read_text())["stages"]
    assert set(stages) == {"upscaler", "scorer"}
    assert (first / "predictions.jsonl").read_bytes() == (wider / "predictions.jsonl").read_bytes()


def test_detections_are_not_cut_by_confidence(export):
    low = [d.score for d in read_detections(export("run") / "detections.json")]
    assert min(low) < 0.3
    scores = read_detections(export("sure", "confidence=0.9") / "detections.json")
    assert [d.score for d in scores] == low


def test_without_a_scorer_the_most_confident_candidate_answers(export):
    folder = export("run", "scorer=null")
    told = answers(folder)
    assert all(p.score is None and p.confidence is not None for p in told.values())
    assert not (folder / "candidates/embeddings").exists()


def test_captions_without_boxes_are_answered_and_not_scored(export, system, tmp_path):
    lines = [json.loads(line) for line in (system / "scenes/annotations.jsonl").read_text().splitlines()]
    for line in lines:
        line["annotations"] = [{"caption": a["caption"]} for a in line["annotations"]]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    folder = export("run", f"annotations={tmp_path}/asked.jsonl")
    assert "accuracy" not in json.loads((folder / "metrics.json").read_text())
    assert len(answers(folder)) == sum(len(line["annotations"]) for line in lines)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["upscaler=none"],
            "enlarged by 'standin x4 pad=published', this pipeline enlarges by 'none'",
        ),
        (["detector=nowhere.pt"], "nowhere.pt"),
        (["scorer=nowhere/x"], "nowhere/x: cannot be loaded as a scorer"),
        (["images=nowhere"], "image_0.jpg: cannot be read"),
        (["confidense=0.1"], "the nearest is 'confidence'"),
    ],
)
def test_mistakes_are_one_line(export, capfd, words, told):
    with pytest.raises(SystemExit) as stop:
        export("run", *words)
    assert stop.value.code == 2
    assert told in capfd.readouterr().err


@pytest.mark.faults
def test_a_killed_export_goes_on_and_ends_the_same(export, system, tmp_path, count):
    """kill -9 at random moments of one chain of restarts, then the plain command: the files of an undisturbed run."""
    whole = export("whole")
    words = [sys.executable, "-m", "pipeline.export", f"annotations={system}/scenes/annotations.jsonl",
             f"images={system}/scenes/images", f"detector={system}/detector.pt",
             f"upscaler={system}/upscaler/standin.safetensors", f"scorer={system}/scorer", "confidence=0.3", "batch=2",
             "tracking.mode=disabled", "run_dir=killed"]  # fmt: skip
    rng = np.random.default_rng(0)
    for _ in range(count(short=1, full=20)):
        process = subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(float(rng.uniform(4, 12)))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(words, check=True, capture_output=True)
    for name in ("predictions.jsonl", "detections.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (whole / name).read_bytes()


def test_main_is_the_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "annotations: must be given" in capsys.readouterr().err
