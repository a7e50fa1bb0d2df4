"""pipeline.export with a one-stage model: alone, in the detector's place, sliced, and killed."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from onestage_server import caption_of, images_of

from core.grounded import read_said
from core.images import read_image
from core.records import read_detections, read_predictions
from core.store import CandidateStore, image_digest


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def one_stage(stub):
    return [f"onestage={stub.url}", "onestage.model=m"]


def test_a_perfect_server_is_judged_perfect_and_never_asked_twice(ask, perfect, truth, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret-key")
    folder = ask("run", *one_stage(perfect))
    metrics = metrics_of(folder)
    number = sum(len(entry.annotations) for entry in truth)
    assert (metrics["accuracy"], metrics["num_captions"], len(perfect.asked)) == (1.0, number, number)
    assert (metrics["num_unparsed"], metrics["num_truncated"], metrics["num_tokens"]) == (0, 0, 7 * number)
    assert metrics["stages"]["onestage"]["count"] == 5
    assert metrics["peak_memory_mib"] > 0
    predictions = [p for e in read_predictions(folder / "predictions.jsonl") for p in e.predictions]
    assert all(p.score is None and p.confidence is None for p in predictions)  # it told none
    assert len(read_detections(folder / "detections.json")) >= 5
    again = ask("again", *one_stage(perfect), f"candidates={tmp_path}/run/candidates")
    assert len(perfect.asked) == number
    assert (again / "predictions.jsonl").read_bytes() == (folder / "predictions.jsonl").read_bytes()
    written = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert b"s3cret-key" not in written


def test_what_was_answered_before_the_server_went_stays(ask, serve, where, capfd, truth):
    number, answered, healed = sum(len(entry.annotations) for entry in truth), [], []

    def reply(body):
        if len(answered) >= 3 and not healed:
            return 500
        answered.append((image_digest(images_of(body)[0]), caption_of(body)))
        return json.dumps([{"bbox_2d": where[answered[-1]]}])

    stub = serve(reply)
    with pytest.raises(SystemExit) as stop:
        ask("run", *one_stage(stub), "onestage.parallel=1")
    assert stop.value.code == 2
    error = capfd.readouterr().err
    assert "gave no answer in 3 tries (status 500" in error
    assert len(list(Path("run/candidates/grounded").rglob("*.npz"))) == 3
    healed.append(True)
    folder = ask("run", *one_stage(stub), "onestage.parallel=1")
    assert len(answered) == len(set(answered)) == number  # none was asked again
    assert metrics_of(folder)["accuracy"] == 1.0


def test_an_answer_that_does_not_parse_is_a_counted_miss(ask, serve, where, truth):
    first = truth[0].annotations[0].caption

    def reply(body):
        key = image_digest(images_of(body)[0]), caption_of(body)
        return "no idea" if caption_of(body) == first else json.dumps([{"bbox_2d": where[key]}])

    metrics = metrics_of(ask("run", *one_stage(serve(reply))))
    lost = sum(a.caption == first for entry in truth for a in entry.annotations)
    assert metrics["num_unparsed"] == lost == metrics["num_captions"] - metrics["num_hits"]


@pytest.fixture(scope="session")
def dino(tmp_path_factory):
    """A tiny random OWLv2, whose confidences differ from caption to caption."""
    import importlib.util

    import torch

    spec = importlib.util.spec_from_file_location("tiny", Path(__file__).parents[2] / "onestage/conftest.py")
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("owlv2")
    model, processor = tiny.owlv2()
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_a_sweep_gives_the_accuracy_of_an_export_alone(ask, dino, system):
    from eval.sweep import main as sweep

    settings = [(c, i) for c in (0.1, 0.5) for i in (0.2, 0.7)]
    alone = {s: metrics_of(ask(f"at{s[0]}_{s[1]}", f"onestage={dino}", f"confidence={s[0]}", f"nms_iou={s[1]}",
                               "onestage.slices.mode=size", "onestage.slices.size=[100,96]"))
             for s in settings}  # fmt: skip
    sweep(["candidates=at0.1_0.2/candidates", f"truth={system}/scenes/annotations.jsonl", "confidence=[0.1,0.5]",
           "nms_iou=[0.2,0.7]", "absent_below=[null,1.1]", "run_dir=sweep", "tracking.mode=disabled"])  # fmt: skip
    rows = json.loads(Path("sweep/sweep.json").read_text())
    assert len(rows) == 8
    for row in rows:
        if row["absent_below"] is None:
            told = alone[row["confidence"], row["nms_iou"]]
            assert (row["num_hits"], row["num_captions"]) == (told["num_hits"], told["num_captions"])
        else:
            assert row["num_hits"] == 0  # no confidence is above 1
        assert row["detector_weights"] == str(dino)


def test_slices_are_views_in_the_pixels_of_the_image(ask, dino, system, truth):
    words = ["onestage.slices.mode=size", "onestage.slices.size=[100,96]", "onestage.slices.overlap=0.25"]
    folder = ask("run", f"onestage={dino}", *words)
    image = read_image(system / "scenes/images" / truth[0].image)
    caption = truth[0].annotations[0].caption
    key = metrics_of(folder)["onestage_key"]
    said = read_said(CandidateStore(folder / "candidates"), key, image_digest(image), caption)
    assert [v.name for v in said.views] == ["onestage/plain", "onestage/slice_0_0_100_96", "onestage/slice_60_0_160_96"]

    from onestage.build import build_onestage
    from onestage.settings import OneStageConfig

    model = build_onestage(OneStageConfig(weights=str(dino)))
    ((_, _, direct),) = model.ground([image[:, 60:160]], [[caption]])
    np.testing.assert_allclose(
        said.views[2].candidates.boxes_xyxy, np.add(direct.candidates.boxes_xyxy, [60, 0, 60, 0]), atol=1e-3
    )  # fmt: skip


def test_in_the_detectors_place_its_boxes_are_scored_by_our_scorer(ask, perfect, system, truth):
    words = [*one_stage(perfect), f"scorer={system}/scorer", f"upscaler={system}/upscaler/standin.safetensors"]
    folder = ask("run", *words)
    metrics = metrics_of(folder)
    assert {"onestage", "upscaler", "scorer"} <= set(metrics["stages"])
    boxes = {(e.image, tuple(np.round(p.box_ltwh, 1))) for e in read_predictions(folder / "predictions.jsonl")
             for p in e.predictions}  # fmt: skip
    offered = {(e.image, tuple(np.round(a.boxes_ltwh[0], 1))) for e in truth for a in e.annotations}
    close = [any(i == j and np.abs(np.subtract(b, c)).max() < 1 for j, c in offered) for i, b in boxes]
    assert all(close)  # every answer is one of the boxes of the image's captions
    assert all(p.score is not None for e in read_predictions(folder / "predictions.jsonl") for p in e.predictions)

    from eval.sweep import main as sweep

    sweep(["candidates=run/candidates", f"truth={system}/scenes/annotations.jsonl", "confidence=[0.25]",
           "nms_iou=[0.5]", "run_dir=sweep", "tracking.mode=disabled"])  # fmt: skip
    assert json.loads(Path("sweep/sweep.json").read_text())[0]["num_hits"] == metrics["num_hits"]


def test_the_other_commands_take_such_runs(ask, perfect, dino, system):
    from eval.compare import main as compare
    from eval.grounding import main as grounding
    from eval.report import main as report
    from eval.robustness import main as robustness
    from eval.speed import main as speed

    one, two = ask("one", *one_stage(perfect)), ask("two", f"onestage={dino}")
    off = "tracking.mode=disabled"
    for run in (one, two):
        truth = f"truth={system}/scenes/annotations.jsonl"
        grounding([truth, f"predictions={run}/predictions.jsonl", f"run_dir=judged_{run}", off])
        assert metrics_of(Path(f"judged_{run}"))["num_hits"] == metrics_of(run)["num_hits"]
    compare(["runs=[judged_one,judged_two]", "run_dir=compared", off])
    robustness([f"runs=[{one},{two}]", "run_dir=robust", "png=false", off])
    speed([f"runs=[{one},{two}]", "run_dir=speed", "png=false", off])
    rows = json.loads(Path("speed/speed.json").read_text())
    assert {row["system"].partition(" (")[0] for row in rows} == {"m", dino.name}
    assert all(row["onestage"] > 0 for row in rows)
    words = [f"truth={system}/scenes/annotations.jsonl", f"images={system}/scenes/images", "png=false", off]
    report([f"run={two}", *words, "run_dir=page"])
    report([f"runs=[{one},{two}]", *words, "run_dir=pages"])
    assert json.loads(Path("page/report.json").read_text())["metrics"]["num_hits"] == metrics_of(two)["num_hits"]
    (pair,) = json.loads(Path("pages/report.json").read_text())["pairs"]
    assert pair["counts"]["broken"]["count"] == metrics_of(one)["num_hits"] - metrics_of(two)["num_hits"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["onestage=nowhere/x"], "nowhere/x: cannot be loaded as a one-stage model"),
        (["onestage=http://127.0.0.1:9/v1"], "onestage.model: must be given"),
        (["onestage=grounding_dino_tinny"], "the nearest is 'grounding_dino_tiny'"),
        (["reranker=/x"], "reranker: '/x' is no URL"),
        (["onestage=http://127.0.0.1:9/v1", "onestage.model=m", "detector=x.pt"], "give one of the two"),
    ],
)
def test_mistakes_are_one_line(ask, capfd, words, told):
    with pytest.raises(SystemExit) as stop:
        ask("run", *words)
    assert stop.value.code == 2
    assert told in capfd.readouterr().err


@pytest.mark.faults
def test_a_killed_export_goes_on_and_ends_the_same(ask, perfect, serve, system, truth):
    """Killed while a slow server answers: what it had answered is not asked again, and the end is the same."""
    whole, slow = ask("whole", *one_stage(perfect)), serve(perfect.reply, delay_s=0.1)
    words = [*one_stage(slow), "onestage.parallel=1"]
    command = [sys.executable, "-m", "pipeline.export", f"annotations={system}/scenes/annotations.jsonl",
               f"images={system}/scenes/images", "batch=2", "tracking.mode=disabled", "run_dir=killed",
               *words]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while process.poll() is None and not any(Path("killed/candidates/grounded").rglob("*.npz")):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -9, process.stderr.read()
    kept = len(list(Path("killed/candidates/grounded").rglob("*.npz")))
    number, before = sum(len(entry.annotations) for entry in truth), len(slow.asked)
    assert 0 < kept < number
    killed = ask("killed", *words)
    assert len(slow.asked) - before <= number - kept
    for name in ("predictions.jsonl", "detections.json"):
        told, wanted = ((run / name).read_bytes() for run in (killed, whole))
        assert told == wanted
