"""Figures by hand, their intervals by a plain resampling, and how predictions find their captions."""

import json

import numpy as np
import pytest

from core.records import read_predictions
from core.values import Annotation, FoundBox, Prediction
from data.captions import read_annotations
from eval.answers.joining import score_keyed
from eval.answers.measures import (
    FIGURES,
    RATIOS,
    counts_of,
    figures,
    grounding_metrics,
    parts_and_wholes,
    plain_figures,
)
from eval.answers.outcomes import outcome_of
from eval.grounding import main
from eval.statistics import Resamples, bootstrap_by_image

A, B, FAR = (0, 0, 10, 10), (100, 0, 10, 10), (500, 500, 10, 10)


def asked(image, truths, *found):
    """An outcome; `found` are (box, score) pairs."""
    boxes = [FoundBox(box, score) for box, score in found]
    best = boxes[0] if boxes else None
    answer = Prediction(image, "x", best and best.box_ltwh, best and best.score, others=tuple(boxes[1:]))
    return outcome_of(image, Annotation("x", tuple(truths)), answer)


def test_figures_by_hand():
    outcomes = [
        asked("a", [A], (A, 0.9)),  # right
        asked("a", [A], (FAR, 0.8), (A, 0.7)),  # best box wrong, target found beside it
        asked("b", [A, B], (A, 0.6)),  # one of two
        asked("b", [], (A, 0.4)),  # false alarm
        asked("c", []),  # silence, rightly
        asked("c", [B]),  # silence, wrongly
    ]
    told = plain_figures(counts_of(outcomes))
    assert told["accuracy"] == 1 / 3
    assert told["instance_precision"] == 3 / 5
    assert told["instance_recall"] == 3 / 5
    assert told["instance_f1"] == pytest.approx(2 * 3 / (5 + 5))
    assert told["exact_share"] == 2 / 6
    assert (told["none_accuracy"], told["target_accuracy"]) == (1 / 2, 3 / 4)
    # by falling score: right, wrong, wrong, wrong; then the two silent ones together, one of them right
    risks = [0 / 1, 1 / 2, 2 / 3, 3 / 4, 4 / 6, 4 / 6]
    assert told["aurc"] == pytest.approx(np.mean(risks))
    # best boxes right: 0.9 yes, 0.8 no, 0.6 yes (of several), 0.4 no; each in a bin of its own
    assert told["ece"] == pytest.approx((0.1 + 0.8 + 0.4 + 0.4) / 4)
    metrics = grounding_metrics(outcomes)
    assert (metrics["num_hits"], metrics["num_captions"], metrics["num_missing"]) == (1, 6, 1)
    assert (metrics["num_captions_one"], metrics["num_captions_several"], metrics["num_captions_none"]) == (3, 1, 2)


def test_an_all_empty_answer_does_not_win():
    told = plain_figures(counts_of([asked("a", []), asked("a", [A]), asked("b", [A, B])]))
    assert (told["none_accuracy"], told["target_accuracy"], told["instance_f1"]) == (1.0, 0.0, 0.0)
    assert (told["aurc"], told["ece"]) == (None, None)


def test_raw_logits_have_a_risk_curve_and_no_calibration():
    told = plain_figures(counts_of([asked("a", [A], (A, 7.5)), asked("b", [A], (FAR, -3.0))]))
    assert told["aurc"] == pytest.approx((0 + 0.5) / 2)
    assert told["ece"] is None


def test_intervals_are_those_of_a_plain_resampling_of_images():
    draw = np.random.default_rng(0)
    outcomes = []
    for image in range(30):
        for _ in range(int(draw.integers(1, 5))):
            truths = [[A], [A, B], []][int(draw.integers(3))]
            found = [(box, float(draw.random())) for box in (A, B, FAR) if draw.random() < 0.5]
            outcomes.append(asked(f"{image}", truths, *sorted(found, key=lambda f: -f[1])))
    names = [o.image for o in outcomes]
    counts, resamples = counts_of(outcomes), Resamples(names, 300)
    told = figures(counts, resamples)
    generator, images = np.random.default_rng(0), np.unique(names)
    draws = generator.multinomial(len(images), np.full(len(images), 1 / len(images)), size=300)
    values = {name: [] for name in FIGURES}
    for times in draws:
        weight = dict(zip(images, times, strict=True))
        drawn = plain_figures(counts_of([o for o in outcomes for _ in range(weight[o.image])]))
        for name in FIGURES:
            values[name].append(drawn[name])
    for name in FIGURES:
        known = [v for v in values[name] if v is not None]
        assert told[f"{name}_ci95"] == pytest.approx(list(np.quantile(known, [0.025, 0.975])), abs=1e-9), name
    assert len(parts_and_wholes(counts)[0][0]) == len(RATIOS)


def test_one_box_a_caption_has_the_interval_it_always_had():
    draw = np.random.default_rng(1)
    outcomes = [asked(f"{n // 3}", [A], (A if draw.random() < 0.7 else FAR, 0.5)) for n in range(90)]
    metrics = grounding_metrics(outcomes)
    hits, names = np.asarray([o.hit for o in outcomes], float), [o.image for o in outcomes]
    assert metrics["ci95"] == list(bootstrap_by_image(hits, names))
    assert metrics["exact_share_ci95"] == metrics["ci95"]
    assert metrics["instance_f1"] == metrics["accuracy"]


TRUTH = [
    {"caption": "car", "bbox": A, "id": "1"},
    {"caption": "car", "bbox": B, "id": "2"},
    {"caption": "bus", "boxes": [], "id": 3},
]


def joined(tmp_path, *entries):
    for name, annotations in (("t", TRUTH), ("p", entries)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"image": "a.jpg", "annotations": annotations}) + "\n")
    return score_keyed(read_annotations(tmp_path / "t.jsonl"), read_predictions(tmp_path / "p.jsonl"))


def test_ids_tell_equal_captions_apart(tmp_path):
    outcomes = joined(
        tmp_path, {"caption": "car", "bbox": B, "id": 2}, {"caption": "car", "bbox": A, "id": "1"},
        {"caption": "bus", "bbox": None},
    )  # fmt: skip
    assert [o.is_exact for o in outcomes] == [True, True, True]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            [{"caption": "car", "bbox": A}],
            "1 predicted caption stands for several entries of the truth; give its id",
        ),
        (
            [{"caption": "bus", "bbox": A, "id": "1"}],
            "an id that names another caption: '1' of a.jpg is 'car'",
        ),
        ([{"caption": "car", "bbox": A, "id": "9"}], "is not in the truth of its image: id '9' of a.jpg"),
        ([{"caption": "van", "bbox": A}], "1 predicted caption is not in the truth of its image: 'van' of a.jpg"),
        ([{"caption": "car", "bbox": A, "id": "1"}] * 2, "1 prediction repeats an image and caption (1 image)"),
        ([{"caption": "bus", "bbox": A, "boxes": [A]}], "field 'annotations[0].boxes': stands beside 'bbox'"),
        (
            [{"caption": "bus", "boxes": [A], "scores": [1, 2]}],
            "field 'annotations[0].scores': not one number",
        ),
        ([{"caption": "bus", "boxes": [A, None]}], "field 'annotations[0].boxes[1]': not a box but null"),
        ([{"caption": "bus", "bbox": A, "id": [1]}], "field 'annotations[0].id': neither a text nor a whole number"),
    ],
)
def test_what_joins_nothing_is_one_line_with_its_place(tmp_path, monkeypatch, capsys, entries, message):
    monkeypatch.chdir(tmp_path)
    for name, annotations in (("t", TRUTH), ("p", entries)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"image": "a.jpg", "annotations": annotations}) + "\n")
    with pytest.raises(SystemExit) as stop:
        main(["truth=t.jsonl", "predictions=p.jsonl", "run_dir=out"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("eval.grounding: p.jsonl line 1: ")
    assert message in line


def test_an_answer_of_several_keeps_its_order_and_comes_back_as_written(tmp_path):
    from core.records import write_predictions

    path = tmp_path / "p.jsonl"
    entry = {"caption": "car", "boxes": [A, B], "scores": [0.2, 0.8], "confidences": [0.5, None], "id": "1"}
    path.write_text(json.dumps({"image": "a.jpg", "annotations": [entry, {"caption": "bus", "boxes": []}]}))
    car, bus = read_predictions(path)[0].predictions
    assert [found.box_ltwh for found in car.found] == [A, B]
    assert (car.score, car.confidence, car.id, bus.found) == (0.2, 0.5, "1", ())
    write_predictions(tmp_path / "again.jsonl", [car, bus])
    assert read_predictions(tmp_path / "again.jsonl")[0].predictions == (car, bus)
    corners = {"caption": "car", "boxes": [[100, 0, 110, 10]]}
    path.write_text(json.dumps({"image": "a.jpg", "annotations": [corners]}))
    assert read_predictions(path, "xyxy")[0].predictions[0].box_ltwh == B
