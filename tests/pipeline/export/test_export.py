"""pipeline.export: the store, its reuse, and its agreement with the pipeline asked directly."""

import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from core.images import read_image
from core.records import read_detections, read_predictions
from core.tracking import Tracker
from data.captions import read_annotations
from eval.figures import ACCURACIES, HEADLINES, MEMORY, TABLES
from pipeline.export import main
from pipeline.export.work import stage_times


def answers(folder):
    return {(p.image, p.caption): p for e in read_predictions(folder / "predictions.jsonl") for p in e.predictions}


def test_answers_equal_the_pipeline_asked_one_image_at_a_time(exported, system):
    from pipeline.opening import open_pipeline

    pipeline = open_pipeline(str(exported))
    told = answers(exported)
    for annotated in read_annotations(system / "scenes/annotations.jsonl"):
        captions = [a.caption for a in annotated.annotations]
        direct = pipeline.locate(read_image(system / "scenes/images" / annotated.image), captions)
        for prediction in direct.predictions(annotated.image, captions):
            stored = told[prediction.image, prediction.caption]
            np.testing.assert_allclose(stored.box_ltwh, prediction.box_ltwh, atol=1e-3)
            np.testing.assert_allclose(stored.score, prediction.score, atol=1e-6)


def test_metrics_hold_accuracy_times_and_memory(exported):
    metrics = json.loads((exported / "metrics.json").read_text())
    assert metrics["num_images"] == 5
    assert 0 <= metrics["accuracy"] <= 1
    assert set(metrics["stages"]) == {"detector", "upscaler", "scorer", "texts"}
    assert metrics["stages"]["detector"]["count"] == 5
    assert metrics["peak_memory_mib"] > 0


def test_stage_times_are_a_things_with_the_first_batch_apart():
    spent = [(9.0, 2), (0.1, 1), (0.4, 2), (1.2, 4), (0.8, 2), (0.5, 1)]  # 100, 200, 300, 400 and 500 ms a thing
    told = stage_times(spent)
    assert (told["warmup_s"], told["warmup_count"], told["count"], told["total_s"]) == (9.0, 2, 12, pytest.approx(12.0))
    assert (told["p50_ms"], told["p95_ms"]) == (pytest.approx(300.0), pytest.approx(480.0))
    assert stage_times([(9.0, 2)])["p50_ms"] is None


@pytest.mark.faults
def test_memory_does_not_grow_with_the_number_of_images(export_words, tmp_path, count):
    """The kernel's high-water mark of fresh processes, over few images and over many, which would show if kept."""
    from data.scenes import main as draw

    number, peaks = count(short=40, full=1000), []
    draw([f"num_images={number}", "size=[640,384]", "target_size=[40,28]", "workers=1", "run_dir=scenes"])
    lines = Path("scenes/annotations.jsonl").read_text().splitlines(keepends=True)
    for some in (8, number):
        Path("some.jsonl").write_text("".join(lines[:some]))
        words = ["annotations=some.jsonl", "images=scenes/images", "max_det=3"]
        subprocess.run(command([*export_words, *words], tmp_path / f"{some}"), check=True, capture_output=True)
        peaks.append(json.loads((tmp_path / f"{some}/metrics.json").read_text())["peak_memory_mib"])
    print(f"8 images {peaks[0]:.0f} MiB, {number} images {peaks[1]:.0f} MiB")
    assert peaks[1] - peaks[0] < 24  # the images alone are 0.7 MiB each


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


def test_reports_and_the_dashboard_ask_for_what_an_export_writes(export, monkeypatch):
    told, tell = [], Tracker.log_table
    monkeypatch.setattr(Tracker, "log_table", lambda self, name, *table: (told.append(name), tell(self, name, *table)))
    folder = export("told")
    assert set(HEADLINES["pipeline.export"]) <= json.loads((folder / "metrics.json").read_text()).keys()
    asked = {name for name in (*ACCURACIES, MEMORY) if name.startswith("export/")}
    assert asked <= json.loads((folder / "history.jsonl").read_text()).keys()
    assert [name for name in TABLES if name.startswith("export/")] == told


def test_detections_are_not_cut_by_confidence(export, exported):
    low = [d.score for d in read_detections(exported / "detections.json")]
    assert min(low) < 0.999
    scores = read_detections(export("sure", "confidence=0.999") / "detections.json")
    assert [d.score for d in scores] == low


def test_without_a_scorer_the_most_confident_candidate_answers(export):
    folder = export("run", "scorer=null")
    told = answers(folder)
    assert all(p.score is None and p.confidence is not None for p in told.values())
    assert not (folder / "candidates/embeddings").exists()


def test_images_are_held_a_batch_at_a_time(export, monkeypatch):
    held, most = [], 0

    def read(path):
        nonlocal most
        image = read_image(path)
        held.append(weakref.ref(image))
        most = max(most, sum(alive() is not None for alive in held))
        return image

    monkeypatch.setattr("pipeline.export.work.read_image", read)
    export("run", "batch=1")
    assert len(held) == 5
    assert most <= 2  # the next image is read before the last one's name is given away


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
            "crops are enlarged by 'none', but the scorer was trained on 'Compact",
        ),
        (["detector=nowhere.pt"], "nowhere.pt"),
        (["scorer=nowhere/x"], "scorer: nowhere/x: not here"),
        (["images=nowhere"], "image_0.jpg does not exist"),
        (["confidense=0.1"], "the nearest is 'confidence'"),
        (["confidence=25"], "confidence: 25.0 is not within 0..1"),
        (["fusion.wbf_iou=-1"], "fusion.wbf_iou: -1.0 is not within 0..1"),
        (["choosing.confidence_weight=nan"], "choosing.confidence_weight: nan is not within 0..1"),
        (["max_det=0"], "max_det: 0 must be 1 or more"),
        (["sweep.nms_iou=[0.5,1.5]"], "sweep.nms_iou: 1.5 is not within 0..1"),
        (["sweep.max_det=[5,0]"], "sweep.max_det: 0 must be 1 or more"),
    ],
)
def test_mistakes_are_one_line(export, capfd, words, told):
    with pytest.raises(SystemExit) as stop:
        export("run", *words)
    assert stop.value.code == 2
    assert told in capfd.readouterr().err


@pytest.mark.faults
def test_a_killed_export_goes_on_and_ends_the_same(export, export_words, tmp_path, count):
    """kill -9 at random moments of the work: nothing stored is torn, lost or made again, and the end is the same.

    A moment is a random number of new files in the store and a random part of a second; a chain of restarts that comes
    to its end is compared with an undisturbed run, and the next one begins.
    """
    whole, rng, kills, chain = export("whole", "batch=1"), np.random.default_rng(0), 0, 0
    while kills < count(short=1, full=20):
        run = tmp_path / f"killed{chain}"
        before = stored(run)
        if killed_at(run, len(before) + int(rng.integers(0, 5)), float(rng.uniform(0, 0.1)), export_words):
            kills += 1
        else:
            chain += 1
        after = stored(run)
        assert before.items() <= after.items()
        readable(run / "candidates")
    subprocess.run(command(export_words, run), check=True, capture_output=True)
    for ended in [tmp_path / f"killed{n}" for n in range(chain)] + [run]:
        assert files(ended) == files(whole)
    print(f"{kills} kills in {chain + 1} chains of restarts")


def command(export_words, run):
    return [sys.executable, "-m", "pipeline.export", *export_words, "batch=1", f"run_dir={run}"]


def killed_at(run, number, seconds, export_words):
    """Run until the store holds `number` files and some seconds more, then kill; False if it ended by itself."""
    process = subprocess.Popen(
        command(export_words, run), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and len(stored(run)) < number:
        time.sleep(0.002)
    time.sleep(seconds)
    if process.poll() is not None:
        assert process.returncode == 0
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def stored(run):
    """When each file of a run's store was written."""
    return {p: p.stat().st_mtime_ns for p in (run / "candidates").rglob("*.npz")}


def readable(folder):
    """Read every entry of a store; a torn one is an InputError."""
    from core.store import CandidateStore

    store, entries = CandidateStore(folder), 0
    for kind, read in (("proposals", store.read_views), ("embeddings", store.read_embeddings)):
        for path in (folder / kind).glob("*/*.npz"):
            read(path.parent.name, path.stem)
            entries += 1
    return entries


def test_another_enlarging_rule_than_the_scorers_own_runs_where_it_is_allowed(export):
    told = answers(export("run", "upscaler=none", "scorer.any_policy=true"))
    assert all(p.score is not None for p in told.values())


def test_main_is_the_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "annotations: must be given" in capsys.readouterr().err


def test_two_processes_give_the_files_of_one(exported, export_words, tmp_path):
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes=2",
               "--main_process_port=0", "-m", "pipeline.export", *export_words, "run_dir=shared"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    assert files(tmp_path / "shared") == files(exported)
    metrics = json.loads((tmp_path / "shared/metrics.json").read_text())
    assert metrics["stages"]["detector"]["count"] == 5


def test_lists_of_a_sweep_add_their_fusions_crops(export, tmp_path):
    from core.store import CandidateStore

    run = export("run", "detector.views=[plain,flip_lr]", "sweep.fusion=[wbf,none]", "sweep.wbf_iou=[0.3,0.6]")
    plain = export("plain", "detector.views=[plain,flip_lr]")
    key = next(iter(CandidateStore(run / "candidates").known("embeddings")))
    more, fewer = (
        sum(len(np.load(p)["pixel_boxes"]) for p in (r / "candidates/embeddings" / key).glob("*.npz"))
        for r in (run, plain)
    )
    assert more > fewer
    assert (run / "predictions.jsonl").read_bytes() == (plain / "predictions.jsonl").read_bytes()


def files(folder):
    return [(folder / name).read_bytes() for name in ("predictions.jsonl", "detections.json")]


@pytest.mark.faults
def test_exports_on_one_store_some_killed_leave_no_torn_entry(exported, export_words, tmp_path, count):
    """Several exports at once, two of them killed: the others' files are those of one alone, and all of it reads."""
    number = count(short=2, full=8)
    store = f"candidates={tmp_path}/store"
    running = [
        subprocess.Popen([sys.executable, "-m", "pipeline.export", *export_words, f"run_dir=run{n}", store],
                         start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
            assert files(tmp_path / f"run{n}") == files(exported)
    assert readable(tmp_path / "store") == 10  # five images' proposals and embeddings
