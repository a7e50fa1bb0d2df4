"""A store and a truth whose names agree and whose images do not."""

import json

import pytest

from eval.sweep import main


@pytest.fixture
def told(made_up, tmp_path, capsys):
    store, truth = made_up.store(tmp_path)

    def sweep_over(change) -> str:
        lines = [json.loads(line) for line in truth.read_text().splitlines()]
        for number, line in enumerate(lines):
            for entry in line["annotations"]:
                entry["bbox"] = change(number, entry["bbox"])
        other = tmp_path / "other.jsonl"
        other.write_text("".join(json.dumps(line) + "\n" for line in lines))
        capsys.readouterr()
        words = [f"candidates={store.folder}", f"truth={other}", "confidence=[0.25]", "nms_iou=[0.5]"]
        main([*words, f"run_dir={tmp_path / 'sweep'}"])
        return capsys.readouterr().err

    return sweep_over


def test_a_truth_that_fits_is_not_doubted(told):
    assert told(lambda number, box: box) == ""
    assert told(lambda number, box: [box[0] + 0.5, *box[1:]] if number == 3 else box) == ""


def test_boxes_beyond_the_stores_images_are_counted(told):
    said = told(lambda number, box: [v * 4 for v in box] if number == 0 else box)
    assert "boxes lie over the edge of the store's images" in said
    assert "(first: im_0.jpg, 320 x 200)" in said


def test_targets_that_no_candidate_meets_are_doubted(told):
    assert "overlaps any of the store's" in told(lambda number, box: [1 + number, 1, 3, 3])


def test_a_truth_with_no_box_of_the_exports_own_annotations_is_doubted(told, tmp_path):
    (tmp_path / "truth.jsonl").rename(tmp_path / "given.jsonl")
    (tmp_path / "truth.jsonl").write_text((tmp_path / "given.jsonl").read_text())
    (tmp_path / "config.yaml").write_text(f"annotations: {tmp_path / 'given.jsonl'}\n")
    said = told(lambda number, box: [box[0] + 0.5, *box[1:]])
    assert "not one has a box in common (first: im_0.jpg)" in said
    assert told(lambda number, box: [box[0] + 0.5, *box[1:]] if number else box) == ""


def test_the_folder_of_an_export_stands_for_its_store(made_up, tmp_path):
    store, truth = made_up.store(tmp_path)
    for number, candidates in enumerate((store.folder, store.folder.parent)):
        main([f"candidates={candidates}", f"truth={truth}", "confidence=[0.25]", f"run_dir={tmp_path}/s{number}"])
    first, second = (json.loads((tmp_path / f"s{n}/sweep.json").read_text()) for n in (0, 1))
    assert first == second
