"""Prediction and detection files: exact round trips, both shapes, and complaints that name file, entry and field."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.records import (
    Detection,
    read_detections,
    read_predictions,
    write_detections,
    write_predictions,
)
from core.values import Prediction

finite = st.floats(-1e6, 1e6, allow_nan=False)
boxes = st.tuples(finite, finite, finite, finite)
predictions = st.builds(
    Prediction,
    st.sampled_from(["a.jpg", "b c.jpg", "dír/é.png"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.none() | boxes,
    st.none() | finite,
    st.none() | finite,
)


@given(st.lists(predictions, max_size=8))
def test_predictions_come_back_exactly(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("p") / "predictions.jsonl"
    write_predictions(path, written)
    read = [p for entry in read_predictions(path) for p in entry.predictions]
    by_image = sorted(written, key=lambda p: [q.image for q in written].index(p.image))  # grouped by first appearance
    assert read == by_image


@given(st.lists(st.tuples(st.sampled_from(["a.jpg", "b.jpg"]), finite, finite, st.floats(0, 1e6), finite), max_size=8))
def test_detections_come_back_exactly(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("d") / "detections.json"
    written = [Detection(name, (left, top, size, size), score) for name, left, top, size, score in rows]
    write_detections(path, written, {"a.jpg": 1, "b.jpg": 2})
    assert read_detections(path) == written
    assert all(
        entry["image_id"] == {"a.jpg": 1, "b.jpg": 2}[entry["file_name"]] for entry in json.loads(path.read_text())
    )


def test_detections_of_a_large_set_are_never_held_whole(tmp_path):
    drawn = (Detection("a.jpg", (n, 1.0, 2.0, 3.0), 0.5) for n in range(50_000))
    tracemalloc.start()
    write_detections(tmp_path / "detections.json", drawn, {"a.jpg": 1})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20
    assert len(read_detections(tmp_path / "detections.json")) == 50_000


def test_lines_and_lists_of_both_box_formats_say_the_same(tmp_path):
    ltwh = [{"image": "a", "annotations": [{"caption": "c", "bbox": [1, 2, 3, 4]}]}]
    xyxy = [{"image": "a", "annotations": [{"caption": "c", "bbox": [1, 2, 4, 6]}]}]
    (tmp_path / "a.jsonl").write_text(json.dumps(ltwh[0]) + "\n\n")
    (tmp_path / "b.json").write_text(json.dumps(xyxy))
    (first,), (second,) = read_predictions(tmp_path / "a.jsonl"), read_predictions(tmp_path / "b.json", "xyxy")
    assert first.predictions == second.predictions
    assert first.place.endswith("a.jsonl line 1")
    assert "entry 1" in second.place or "line 1" in second.place


def test_repeats_are_kept_in_file_order(tmp_path):
    lines = [{"image": "a", "annotations": [{"caption": "c", "bbox": [n, 0, 1, 1]}]} for n in range(3)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [e.predictions[0].box_ltwh[0] for e in read_predictions(tmp_path / "p.jsonl")] == [0, 1, 2]


@pytest.mark.parametrize("box", [None, []])
def test_a_null_or_empty_box_is_a_prediction_without_one(tmp_path, box):
    line = {"image": "a", "annotations": [{"caption": "c", "bbox": box}]}
    (tmp_path / "p.jsonl").write_text(json.dumps(line))
    assert [p.box_ltwh for p in read_predictions(tmp_path / "p.jsonl")[0].predictions] == [None]


def test_image_id_stands_in_for_a_missing_name(tmp_path):
    (tmp_path / "d.json").write_text(json.dumps([{"image_id": 7, "bbox": [0, 0, 1, 1], "score": 0.5}]))
    assert read_detections(tmp_path / "d.json")[0].image == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"image": "a"', "p.jsonl line 1: not valid JSON"),
        ('{"image": 3, "annotations": []}', "field 'image'"),
        ('{"image": "a", "annotations": {}}', "field 'annotations': not a list"),
        ('{"image": "a", "annotations": [3]}', "field 'annotations[0].caption'"),
        ('{"image": "a", "annotations": [{"caption": "c", "bbox": [1, 2, 3]}]}', "field 'annotations[0].bbox'"),
        ('{"image": "a", "annotations": [{"caption": "c", "bbox": [1, 2, 3, NaN]}]}', "[1, 2, 3, NaN]"),
        ('{"image": "a", "annotations": [{"caption": "c", "box": [1, 2, 3, 4]}]}', "has 'caption', 'box'"),
        ('{"image": "a", "annotations": [{"caption": "c", "bbox": [1, 2, 3, "4"]}]}', "not four finite numbers"),
        ('{"image": "a", "annotations": [{"caption": "c", "bbox": null, "score": Infinity}]}', "[0].score'"),
    ],
)
def test_bad_predictions_name_file_line_and_field(tmp_path, text, message):
    (tmp_path / "p.jsonl").write_text(text + "\n")
    with pytest.raises(InputError) as error:
        read_predictions(tmp_path / "p.jsonl")
    assert message in str(error.value)
    assert "p.jsonl" in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for read in (read_predictions, read_detections):
        with pytest.raises(InputError, match="gone"):
            read(tmp_path / "gone.json")


def test_nan_is_never_written(tmp_path):
    with pytest.raises(ValueError):
        write_predictions(tmp_path / "p.jsonl", [Prediction("a", "c", (0, 0, 1, float("nan")))])
    assert not (tmp_path / "p.jsonl").exists()
