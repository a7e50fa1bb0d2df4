"""Grounding accuracy: the published files to the last digit, a made-up twin of each, every kind of bad prediction."""

import json
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from core.records import read_predictions
from data.captions import read_annotations
from eval.answers.joining import Duplicates, score_keyed, score_positional
from eval.answers.measures import grounding_metrics
from eval.answers.outcomes import iou_ltwh
from eval.grounding import main


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def write_lines(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(v) + "\n" for v in values))
    return path


# --- the published files -------------------------------------------------------------------------------------------

BASELINE = "yolo-siglip-large-patch16-384-zeroshot.json"
DOUBLED = "yolo-esrganx4v3-siglip-large-patch16-384-zeroshot.json"
RESTARTED = "yolo-esrganx2-CLIP-ViT-H-14-laion2B-s32B-b79K-zeroshot.json"
CLEAN = {
    BASELINE: (4635, 0.8140147523709168),
    "yolo-metaclip-h14-fullcc2.5b.json": (4976, 0.8739023533544081),
    "yolov9e-1600-epoch65-conf0.1-siglip-large-patch16-384-ft-3090-ep10.json": (5644, 0.9912188268352652),
}


@pytest.fixture
def published(reference_dir):
    """The whole truth, its last fifth, and a reader of the published prediction files."""
    truth = read_annotations(reference_dir / "til24" / "vlm.jsonl")
    return truth, truth[-1021:], lambda name: read_predictions(reference_dir / "til24/predictions" / name, "xyxy")


@pytest.mark.parametrize("name", CLEAN)
def test_published_files_to_the_last_digit(published, name):
    truth, val, read = published
    hits, accuracy = CLEAN[name]
    entries = read(name)
    for outcomes in (score_keyed(val, entries), score_positional(truth, entries)):
        metrics = grounding_metrics(outcomes)
        assert (metrics["num_hits"], metrics["num_captions"], metrics["num_missing"]) == (hits, 5694, 0)
        assert metrics["accuracy"] == accuracy


@pytest.mark.parametrize(
    ("name", "first", "last", "positional"),
    [(DOUBLED, 4635, 4516, (4516, 11199)), (RESTARTED, 4662, 4662, (4662, 6134))],
)
def test_published_files_with_repeated_images(published, name, first, last, positional):
    truth, val, read = published
    entries = read(name)
    with pytest.raises(InputError, match="predictions repeat an image and caption .*image_4086.jpg, image_4087.jpg"):
        score_keyed(val, entries)
    assert grounding_metrics(score_keyed(val, entries, Duplicates.first))["num_hits"] == first
    assert grounding_metrics(score_keyed(val, entries, Duplicates.last))["num_hits"] == last
    metrics = grounding_metrics(score_positional(truth, entries))
    assert (metrics["num_hits"], metrics["num_captions"]) == positional


# --- the made-up twins: the same three situations, counted by hand --------------------------------------------------


def small_truth(tmp_path, num_images=6):
    """Image i asks for two targets, at (0, 0) and (100, 0), 20 px wide."""
    lines = [
        {"image": f"im_{i}.jpg", "annotations": [{"caption": "red jet", "bbox": [0, 0, 20, 20]},
                                                {"caption": f"drone {i % 2}", "bbox": [100, 0, 20, 20]}]}
        for i in range(num_images)
    ]  # fmt: skip
    return write_lines(tmp_path / "truth.jsonl", lines)


def answer(i, jet=True, drone=True):
    """Image i's entry as published (xyxy), each caption right or 50 px off."""
    return {
        "image": f"im_{i}.jpg",
        "annotations": [
            {"caption": f"drone {i % 2}", "bbox": [100, 0 if drone else 50, 120, 20 if drone else 70]},
            {"caption": "red jet", "bbox": [0, 0 if jet else 50, 20, 20 if jet else 70]},
        ],
    }


def test_twin_of_a_clean_file_in_any_order(tmp_path):
    truth = read_annotations(small_truth(tmp_path))
    entries = [answer(i, drone=i != 3) for i in (4, 3, 5)] + [answer(i, jet=i != 0) for i in (2, 1, 0)]
    read = read_predictions(write_json(tmp_path / "p.json", entries), "xyxy")
    metrics = grounding_metrics(score_keyed(truth, read))
    assert (metrics["num_hits"], metrics["num_captions"], metrics["num_missing"]) == (10, 12, 0)


def test_twin_of_the_doubled_file(tmp_path):
    truth = read_annotations(small_truth(tmp_path))
    val = truth[-3:]
    doubled = [answer(i, jet=False) for i in (3, 4, 5)] + [answer(i) for i in (3, 4, 5)]
    entries = read_predictions(write_json(tmp_path / "p.json", doubled), "xyxy")
    with pytest.raises(InputError, match=r"entry 4: 6 predictions repeat .*\(3 images\).*im_3.jpg, im_4.jpg, im_5.jpg"):
        score_keyed(val, entries)
    assert grounding_metrics(score_keyed(val, entries, Duplicates.first))["num_hits"] == 3
    assert grounding_metrics(score_keyed(val, entries, Duplicates.last))["num_hits"] == 6
    # by place: the last six lines are images 0..5; entries 0..2 (images 3..5) meet lines 0..2, whose drones differ in
    # parity, so only what carries over counts: jets wrong, drones under another caption; then lines 3..5 all right
    positional = grounding_metrics(score_positional(truth, entries))
    assert (positional["num_hits"], positional["num_captions"], positional["num_missing"]) == (6, 12, 3)


def test_twin_of_the_restarted_file(tmp_path):
    truth = read_annotations(small_truth(tmp_path))
    restarted = [answer(4)] + [answer(i) for i in (4, 5)]
    entries = read_predictions(write_json(tmp_path / "p.json", restarted), "xyxy")
    assert grounding_metrics(score_keyed(truth[-2:], entries, Duplicates.last))["accuracy"] == 1
    positional = grounding_metrics(score_positional(truth, entries))  # entry 0 meets line 3: its drone has another name
    assert (positional["num_hits"], positional["num_captions"]) == (5, 6)


def test_positional_ignores_duplicates_and_refuses_more_entries_than_lines(tmp_path):
    truth = read_annotations(small_truth(tmp_path))
    entries = read_predictions(write_json(tmp_path / "p.json", [answer(0)] * 7), "xyxy")
    with pytest.raises(InputError, match="7 predicted entries for 6 lines"):
        score_positional(truth, entries)


# --- what a hit is -------------------------------------------------------------------------------------------------


def test_a_hit_is_strictly_above_one_half(tmp_path):
    truth = read_annotations(write_lines(tmp_path / "t.jsonl", [
        {"image": "a", "annotations": [{"caption": "c", "bbox": [0, 0, 10, 10]}]}]))  # fmt: skip
    for box, hit in (([0, 0, 10, 5], False), ([0, 0, 10, 5.0001], True), ([0, 0, 10, 20], False)):
        path = write_lines(tmp_path / "p.jsonl", [{"image": "a", "annotations": [{"caption": "c", "bbox": box}]}])
        assert score_keyed(truth, read_predictions(path))[0].hit is hit


def test_iou_agrees_with_the_published_scorers_rounding():
    draw = np.random.default_rng(0)
    for _ in range(2000):
        a, b = (tuple(map(float, draw.integers(0, 9, 2))) + tuple(map(float, draw.integers(1, 9, 2))) for _ in "ab")
        cells = [{(x, y) for x in range(int(c[0]), int(c[0] + c[2])) for y in range(int(c[1]), int(c[1] + c[3]))}
                 for c in (a, b)]  # fmt: skip
        assert iou_ltwh(a, b) == len(cells[0] & cells[1]) / len(cells[0] | cells[1])
        assert (iou_ltwh(a, b) > 0.5) == bool(round(iou_ltwh(a, b)))  # the scorer's own round(), halves to even


# --- faults: named, counted, never a smaller denominator -----------------------------------------------------------


def judged(tmp_path, predictions, *words):
    write_lines(tmp_path / "p.jsonl", predictions)
    truth = small_truth(tmp_path, 3)
    main([f"truth={truth}", f"predictions={tmp_path}/p.jsonl", f"run_dir={tmp_path}/run", *words])
    return json.loads((tmp_path / "run/metrics.json").read_text())


def ltwh(i, box=(0, 0, 20, 20)):
    jet = {"caption": "red jet", "bbox": None if box is None else list(box)}
    return {"image": f"im_{i}.jpg", "annotations": [jet, {"caption": f"drone {i % 2}", "bbox": [100, 0, 20, 20]}]}


def test_missing_images_and_captions_are_misses_and_told(tmp_path, capsys):
    one_caption = {"image": "im_1.jpg", "annotations": [{"caption": "red jet", "bbox": [0, 0, 20, 20]}]}
    metrics = judged(tmp_path, [ltwh(0), one_caption])
    assert (metrics["num_hits"], metrics["num_captions"], metrics["num_missing"]) == (3, 6, 3)
    assert (
        "no prediction for some captions of 2 images (3 captions), counted as misses: im_1.jpg, im_2.jpg"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("box", [None, []])
def test_null_and_empty_boxes_are_misses_and_told(tmp_path, capsys, box):
    metrics = judged(tmp_path, [ltwh(0, box), ltwh(1), ltwh(2)])
    assert (metrics["num_hits"], metrics["num_captions"], metrics["num_missing"]) == (5, 6, 1)
    assert "a prediction without a box for some captions of 1 image (1 caption)" in capsys.readouterr().out


@pytest.mark.parametrize("box", [[5, 5, -10, 10], [5, 5, 0, 0], [-900, -900, 10, 10], [1e300, 0, 20, 20]])
def test_strange_but_finite_boxes_are_plain_misses(tmp_path, box):
    assert judged(tmp_path, [ltwh(0, box), ltwh(1), ltwh(2)])["num_hits"] == 5


def test_no_predictions_at_all_keep_the_denominator(tmp_path):
    metrics = judged(tmp_path, [])
    assert (metrics["accuracy"], metrics["num_captions"], metrics["num_missing"]) == (0, 6, 6)
    assert metrics["ci95"] == [0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.append(ltwh(7)), "p.jsonl line 4: 1 predicted image is not in the truth: im_7.jpg"),
        (lambda p: p.append(p[0]), "line 4: 2 predictions repeat an image and caption (1 image)"),
        (lambda p: p[1]["annotations"].append({"caption": "pink cat", "bbox": [0, 0, 1, 1]}),
         "line 2: 1 predicted caption is not in the truth of its image: 'pink cat' of im_1.jpg"),
        (lambda p: p[1]["annotations"][0].update(bbox=[0, 0, float("nan"), 3]),
         "line 2: field 'annotations[0].bbox': not four finite numbers but [0, 0, NaN, 3]"),
        (lambda p: p[2]["annotations"][1].update(bbox=[0, 0, float("inf"), 3]), "line 3: field 'annotations[1].bbox'"),
        (lambda p: p[2]["annotations"][1].update(bbox=[0, 0, 3]), "line 3: field 'annotations[1].bbox'"),
        (lambda p: p[2]["annotations"][1].update(bbox="0 0 3 3"), "line 3: field 'annotations[1].bbox'"),
        (lambda p: p[2]["annotations"][1].update(bbox=[0, 0, True, 3]), "line 3: field 'annotations[1].bbox'"),
        (lambda p: p[0]["annotations"][1].update(caption=None), "line 1: field 'annotations[1].caption': not a text"),
        (lambda p: p[0]["annotations"][1].update(score="high"), "line 1: field 'annotations[1].score'"),
        (lambda p: p[0].pop("image"), "line 1: field 'image'"),
        (lambda p: p[0].pop("annotations"), "line 1: field 'annotations': not a list"),
        (lambda p: p.insert(1, 7), "line 2: field 'image': a prediction entry needs an image name"),
    ],
)  # fmt: skip
def test_bad_predictions_are_one_clear_line(tmp_path, capsys, change, message):
    predictions = [ltwh(i) for i in range(3)]
    change(predictions)
    with pytest.raises(SystemExit) as stop:
        judged(tmp_path, predictions)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run/metrics.json").exists()


def test_a_broken_line_is_named(tmp_path, capsys):
    (tmp_path / "p.jsonl").write_text(json.dumps(ltwh(0)) + '\n{"image": "im_1.jpg", \n')
    with pytest.raises(SystemExit):
        main([f"truth={small_truth(tmp_path)}", f"predictions={tmp_path}/p.jsonl", f"run_dir={tmp_path}/run"])
    assert "p.jsonl line 2: not valid JSON" in capsys.readouterr().err


def test_outcomes_are_written_one_line_a_caption(tmp_path):
    judged(tmp_path, [ltwh(0, (0, 0, 20, 9)), ltwh(1)])
    lines = [json.loads(line) for line in Path(tmp_path / "run/outcomes.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    assert [line["hit"] for line in lines] == [False, True, True, True, False, False]
    assert lines[0]["iou"] == pytest.approx(9 / 20)
    assert lines[5]["bbox"] is None
