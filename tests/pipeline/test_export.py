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
    assert min(low) < 0.999
    scores = read_detections(export("sure", "confidence=0.999") / "detections.json")
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
            "x4 pad=published', this pipeline enlarges by 'none'",
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


def test_two_processes_give_the_files_of_one(export, system, tmp_path):
    whole = export("whole")
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes=2",
               "--main_process_port=0", "-m", *words(system, "shared")]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    assert files(tmp_path / "shared") == files(whole)
    metrics = json.loads((tmp_path / "shared/metrics.json").read_text())
    assert metrics["stages"]["detector"]["count"] == 5


def test_lists_of_a_sweep_add_their_fusions_crops(export, tmp_path):
    from core.candidates import CandidateStore

    run = export("run", "detector.views=[plain,flip_lr]", "sweep.fusion=[wbf,none]", "sweep.wbf_iou=[0.3,0.6]")
    plain = export("plain", "detector.views=[plain,flip_lr]")
    key = next(iter(CandidateStore(run / "candidates").known("embeddings")))
    more, fewer = (
        sum(len(np.load(p)["pixel_boxes"]) for p in (r / "candidates/embeddings" / key).glob("*.npz"))
        for r in (run, plain)
    )
    assert more > fewer
    assert (run / "predictions.jsonl").read_bytes() == (plain / "predictions.jsonl").read_bytes()


def words(system, run_dir, *more):
    return ["pipeline.export", f"annotations={system}/scenes/annotations.jsonl", f"images={system}/scenes/images",
            f"detector={system}/detector.pt", f"upscaler={system}/upscaler/standin.safetensors",
            f"scorer={system}/scorer", "confidence=0.3", "batch=2", "tracking.mode=disabled", f"run_dir={run_dir}",
            *more]  # fmt: skip


def files(folder):
    return [(folder / name).read_bytes() for name in ("predictions.jsonl", "detections.json")]


@pytest.mark.faults
def test_exports_on_one_store_some_killed_leave_no_torn_entry(export, system, tmp_path, count):
    """Several exports at once, two of them killed: the others' files are those of one alone, and all of it reads."""
    from core.candidates import CandidateStore

    whole, number = export("whole"), count(short=3, full=8)
    store = f"candidates={tmp_path}/store"
    running = [
        subprocess.Popen([sys.executable, "-m", *words(system, f"run{n}", store)], start_new_session=True,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for n in range(number)
    ]  # fmt: skip
    rng = np.random.default_rng(2)
    killed = running[: 1 if number < 8 else 2]
    while not (tmp_path / "store").is_dir() and any(p.poll() is None for p in running):
        time.sleep(0.05)
    for process in killed:
        time.sleep(float(rng.uniform(0, 1)))
        os.killpg(process.pid, signal.SIGKILL)
    for n, process in enumerate(running):
        process.wait()
        if process not in killed:
            assert process.returncode == 0
            assert files(tmp_path / f"run{n}") == files(whole)
    opened = CandidateStore(tmp_path / "store")
    for kind, read in (("proposals", opened.read_views), ("embeddings", opened.read_embeddings)):
        for path in (tmp_path / "store" / kind).glob("*/*.npz"):
            read(path.parent.name, path.stem)
