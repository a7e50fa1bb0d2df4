import json
from pathlib import Path

import pytest

from data.captions import read_annotations
from data.split import main, val_places


@pytest.mark.parametrize(("num", "fraction", "num_val"), [(5107, 0.2, 1021), (10, 0.25, 2), (3, 0.34, 1), (7, 0.0, 0)])
def test_the_last_images_are_held_out_as_published(num, fraction, num_val):
    names = [f"image_{i}.jpg" for i in range(num)]
    assert val_places(names, fraction) == list(range(num - num_val, num))


def test_a_seed_draws_images_whatever_their_order():
    names = [f"image_{i}.jpg" for i in range(1000)]
    chosen = {names[i] for i in val_places(names, 0.2, seed=1)}
    assert len(chosen) == 200
    assert {names[::-1][i] for i in val_places(names[::-1], 0.2, seed=1)} == chosen
    other = {names[i] for i in val_places(names, 0.2, seed=2)}
    assert len(chosen & other) < 80  # 40 expected of two independent draws
    assert sum(int(n[6:-4]) >= 800 for n in chosen) < 80


def test_lines_are_kept_byte_for_byte_with_all_they_hold(tmp_path, entry, write_jsonl):
    lines = [json.dumps({"extra": [1.50, i], **entry(i)}, separators=(",", ": ")) for i in range(5)]
    write_jsonl(tmp_path / "a.jsonl", [lines[0], "", "  ", *lines[1:]])
    main(["annotations=a.jsonl", "run_dir=out"])
    assert Path("out/train.jsonl").read_text() == "".join(f"{line}\n" for line in lines[:4])
    assert Path("out/val.jsonl").read_text() == f"{lines[4]}\n"
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert {k: metrics[k] for k in ("num_train", "num_train_captions", "num_val", "num_val_captions")} == {
        "num_train": 4, "num_train_captions": 12, "num_val": 1, "num_val_captions": 3,
    }  # fmt: skip


def test_a_json_list_becomes_lines(tmp_path, entry):
    (tmp_path / "a.json").write_text(json.dumps([entry(i) for i in range(4)], indent=2))
    main(["annotations=a.json", "val_fraction=0.25", "seed=3", "run_dir=out"])
    parts = [read_annotations(f"out/{part}.jsonl") for part in ("train", "val")]
    assert [len(part) for part in parts] == [3, 1]
    assert {i.image for part in parts for i in part} == {f"image_{i}.jpg" for i in range(4)}


def test_the_real_file_is_split_as_published(reference_dir):
    source = reference_dir / "til24" / "vlm.jsonl"
    main([f"annotations={source}", "run_dir=out"])
    train, val = (read_annotations(f"out/{part}.jsonl") for part in ("train", "val"))
    assert (train[-1].image, val[0].image, val[-1].image) == ("image_4085.jpg", "image_4086.jpg", "image_5106.jpg")
    assert (len(train), len(val), sum(len(i.annotations) for i in val)) == (4086, 1021, 5694)
    assert Path("out/train.jsonl").read_bytes() + Path("out/val.jsonl").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("fraction", ["1", "-0.1", "1.5", "0.2"])
def test_a_fraction_that_leaves_a_side_empty_is_refused(tmp_path, complaint, entry, write_jsonl, fraction):
    write_jsonl(tmp_path / "a.jsonl", [entry(i) for i in range(4)])
    said = complaint(main, "annotations=a.jsonl", f"val_fraction={fraction}", "run_dir=out")
    assert said.startswith("data.split: val_fraction: ")
    assert not Path("out/train.jsonl").exists()


def test_wrong_settings_are_named_with_the_nearest(tmp_path, complaint, entry, write_jsonl):
    write_jsonl(tmp_path / "a.jsonl", [entry(i) for i in range(4)])
    said = complaint(main, "annotations=a.jsonl", "val_fracton=0.2")
    assert "val_fracton" in said
    assert "val_fraction" in said
    assert "val_fraction" in complaint(main, "annotations=a.jsonl", "val_fraction=many")
