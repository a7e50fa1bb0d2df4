"""No command overwrites what it reads."""

from pathlib import Path

import pytest

from data import merge, noise, split, write, yolo

CASES = {
    "train.jsonl": (split.main, ["annotations=d/train.jsonl"]),
    "val.jsonl": (yolo.main, ["annotations=a.jsonl", "val=d/val.jsonl", "images=images"]),
    "coco.json": (write.main, ["format=coco", "size=[9,9]", "annotations=d/coco.json"]),
    "annotations.jsonl": (noise.main, ["annotations=d/annotations.jsonl", "images=images", "grade=blur3"]),
    "./annotations.jsonl": (merge.main, ["sets=[a.jsonl,d/../d/annotations.jsonl]"]),
}


@pytest.mark.parametrize("name", CASES)
def test_an_input_in_the_run_folder_is_refused_and_kept(toy, complaint, name):
    main, words = CASES[name]
    path = Path("d", name)
    path.parent.mkdir()
    path.write_bytes(Path("a.jsonl").read_bytes())
    assert "this run would overwrite its own input" in complaint(main, *words, "run_dir=d")
    assert path.read_bytes() == Path("a.jsonl").read_bytes()


def test_a_tree_is_not_read_back_into_itself(toy, complaint):
    yolo.main(["annotations=a.jsonl", "images=images", "run_dir=d"])
    before = Path("d/train.jsonl").read_bytes()
    for tree in ("d", "d/data.yaml"):
        assert "overwrite its own input" in complaint(yolo.main, f"tree={tree}", "run_dir=d")
    assert Path("d/train.jsonl").read_bytes() == before
