"""The command eval.coco on files: joins, digests, bad input, and nothing silently left out."""

import json

import pytest

from eval.coco import main

TRUTH = [
    {"image": "a.jpg", "annotations": [{"caption": "red drone", "bbox": [10, 10, 40, 40]}]},
    {"image": "b.jpg", "annotations": [{"caption": "red drone", "bbox": [50, 10, 40, 40]},
                                       {"caption": "blue drone", "bbox": [10, 90, 40, 40]}]},
    {"image": "c.jpg", "annotations": []},
]  # fmt: skip


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def judge(tmp_path, detections, *words):
    tmp_path.mkdir(exist_ok=True)
    write(tmp_path / "truth.jsonl", TRUTH)
    (tmp_path / "detections.json").write_text(json.dumps(detections))
    main([f"truth={tmp_path}/truth.jsonl", f"detections={tmp_path}/detections.json", f"run_dir={tmp_path}/run", *words])
    return json.loads((tmp_path / "run" / "metrics.json").read_text())


def found(name, box, score):
    return {"file_name": name, "image_id": 1, "category_id": 1, "bbox": box, "score": score}


GOOD = [found("a.jpg", [10, 10, 40, 40], 0.9), found("b.jpg", [50, 10, 40, 44], 0.8), found("c.jpg", [0, 0, 9, 9], 0.1)]


def test_metrics_of_a_small_file(tmp_path):
    metrics = judge(tmp_path, GOOD)
    assert metrics["num_truth"] == 3
    assert metrics["num_predictions"] == 2
    assert metrics["num_tp"] == 2
    assert metrics["precision"] == 1
    assert metrics["recall"] == pytest.approx(2 / 3)
    assert metrics["AP50"] == pytest.approx(67 / 101)  # recall 2/3 reaches 67 of the 101 recall points
    assert metrics["best_f1_confidence"] == 0.8
    curves = json.loads((tmp_path / "run" / "curves.json").read_text())
    assert curves["confidence"] == [0.9, 0.8, 0.1]


def test_a_lower_confidence_moves_the_point_but_not_the_ap(tmp_path):
    strict, lenient = judge(tmp_path / "x", GOOD), judge(tmp_path / "y", GOOD, "confidence=0.05")
    assert strict["AP"] == lenient["AP"]
    assert (strict["num_predictions"], lenient["num_predictions"]) == (2, 3)


def test_the_published_denominator_is_four_times_the_images_with_a_prediction(tmp_path):
    ours, published = judge(tmp_path / "x", GOOD), judge(tmp_path / "y", GOOD, "published_denominators=true")
    assert ours.pop("map50_over_truth") == 2 / 3
    assert published.pop("map50_over_truth") == 2 / (4 * 2)
    assert published == ours


def test_both_engines_say_the_same(tmp_path):
    fast, reference = judge(tmp_path / "x", GOOD), judge(tmp_path / "y", GOOD, "engine=pycocotools")
    assert fast == pytest.approx(reference, abs=1e-12)


def test_image_id_serves_where_there_is_no_file_name(tmp_path):
    by_line = [{"image_id": 2, "category_id": 1, "bbox": [50, 10, 40, 40], "score": 0.9}]
    assert judge(tmp_path, by_line)["num_tp"] == 1


def test_no_detections_are_zeros_and_said(tmp_path, capsys):
    metrics = judge(tmp_path, [])
    assert metrics["AP"] == 0
    assert metrics["recall"] == 0
    assert "holds no detection" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("detections", "message"),
    [
        ([found("z.jpg", [0, 0, 9, 9], 0.5)] * 2, "2 detections of 1 image are not in the truth: z.jpg"),
        ([found("a.jpg", [0, 0, -9, 9], 0.5)], "entry 1: field 'bbox': width or height is negative"),
        ([found("a.jpg", [0, 0, 9], 0.5)], "entry 1: field 'bbox': not four finite numbers"),
        ([found("a.jpg", [0, 0, float("nan"), 9], 0.5)], "entry 1: field 'bbox': not four finite numbers"),
        ([found("a.jpg", [0, 0, 9, 9], float("nan"))], "entry 1: field 'score': not a finite number"),
        ([found("a.jpg", None, 0.5)], "entry 1: field 'bbox': missing"),
        ({"annotations": []}, "not a COCO results file"),
    ],
)
def test_bad_detections_are_one_clear_line(tmp_path, capsys, detections, message):
    with pytest.raises(SystemExit) as stop:
        judge(tmp_path, detections)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_share_outside_0_to_1_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        judge(tmp_path, GOOD, "match_iou=1.5")
    assert stop.value.code == 2
    assert "match_iou: 1.5 is not within 0..1" in capsys.readouterr().err
