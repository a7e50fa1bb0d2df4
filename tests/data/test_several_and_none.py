"""Drawn sets whose captions describe several targets, one, or none go through every command of data."""

import json
from pathlib import Path

import numpy as np
import pytest

from core.images import read_image
from core.pixels import crop_box
from data.captions import read_annotations
from data.check import main as check
from data.crops import main as crops
from data.cropset import read_crop_set
from data.merge import main as merge
from data.noise import main as noise
from data.read import main as read
from data.scenes import main as scenes
from data.split import main as split
from data.write import main as write
from data.yolo import main as yolo
from eval.boxes.table import truth_table

DRAW = ["num_images=5", "size=[320,200]", "suffix=.png", "workers=1", "seed=3"]


@pytest.fixture
def drawn(tmp_path):
    """`scenes/` with several and none mixed in, one more caption for a target of the first image, and its entries."""
    scenes([*DRAW, "several=0.5", "absent=0.5", "run_dir=scenes"])
    path = Path("scenes/annotations.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    entries = lines[0]["annotations"]
    box = entries[0]["bbox"] if "bbox" in entries[0] else entries[0]["boxes"][0]
    entries.append({"caption": "another word for it", "bbox": box, "id": "more"})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_annotations(path)


def test_scenes_draw_them_and_change_nothing_else(drawn):
    plain = Path("plain")
    scenes([*DRAW, "run_dir=plain"])
    before = read_annotations(plain / "annotations.jsonl")
    numbers = [len(a.boxes_ltwh) for image in drawn for a in image.annotations]
    assert {0, 1, 2} <= set(numbers) <= {0, 1, 2, 3}
    told = json.loads(Path("scenes/metrics.json").read_text())
    assert told["num_captions_none"] == numbers.count(0)
    assert told["num_captions_several"] == sum(n > 1 for n in numbers)
    for image, other in zip(drawn, before, strict=True):
        first = [(a.caption, a.boxes_ltwh[0]) for a in image.annotations if a.boxes_ltwh and a.id is None]
        assert first == [(a.caption, a.boxes_ltwh[0]) for a in other.annotations]
        absent = {a.caption for a in image.annotations if not a.boxes_ltwh}
        assert not absent & {a.caption for a in other.annotations}
        one, two = (read_image(f"{root}/images/{image.image}").astype(int) for root in ("scenes", "plain"))
        further = [box for box in image.targets if box not in other.targets]
        inside = np.zeros(one.shape[:2], bool)
        for left, top, width, height in further:
            inside[max(top - 3, 0) : top + height + 3, max(left - 3, 0) : left + width + 3] = True
        assert not (one != two).any(axis=2)[~inside].any()
        assert all((one != two).any(axis=2)[t : t + h, x : x + w].mean() > 0.1 for x, t, w, h in further)


def test_crops_are_targets_with_each_of_their_captions(drawn):
    crops(["annotations=scenes/annotations.jsonl", "images=scenes/images", "run_dir=crops"])
    found = read_crop_set("crops")
    pairs = [(image.image, caption, box) for image in drawn for caption, box in image.pairs]
    assert [(c.image, c.caption) for c in found.crops] == [(image, caption) for image, caption, _ in pairs]
    for crop, (image, _, (left, top, width, height)) in zip(found.crops, pairs, strict=True):
        whole = read_image(f"scenes/images/{image}")
        expected = crop_box(whole, np.array([left, top, left + width, top + height]))
        assert np.array_equal(read_image(found.path(crop)), expected)
    shared = [c.target for c in found.crops if c.image == drawn[0].image]
    assert len(set(shared)) == len(drawn[0].targets) == len(shared) - 1
    assert all(c.target is None for c in found.crops if c.image != drawn[0].image)
    metrics = json.loads(Path("crops/metrics.json").read_text())
    assert metrics["num_absent_captions"] == sum(not a.boxes_ltwh for i in drawn for a in i.annotations)


def test_labels_coco_and_counts_are_of_targets_and_come_back(drawn):
    targets = sum(len(image.targets) for image in drawn)
    yolo(["annotations=scenes/annotations.jsonl", "images=scenes/images", "run_dir=tree"])
    labels = [p.read_text().splitlines() for p in sorted(Path("tree/labels/train").glob("*.txt"))]
    assert [len(rows) for rows in labels] == [len(image.targets) for image in drawn]
    yolo(["tree=tree", "run_dir=back"])
    assert read_annotations("back/train.jsonl") == drawn
    write(["format=coco", "annotations=scenes/annotations.jsonl", "size=[320,200]", "run_dir=coco"])
    value = json.loads(Path("coco/coco.json").read_text())
    assert len(value["annotations"]) == targets == len(truth_table(drawn))
    read(["source=coco/coco.json", "run_dir=again"])
    for image, other in zip(read_annotations("again/annotations.jsonl"), drawn, strict=True):
        assert {(a.caption, *a.boxes_ltwh) for a in image.annotations} == {
            (a.caption, *a.boxes_ltwh) for a in other.annotations
        }
    for command in ("tree", "back"):
        metrics = json.loads(Path(f"{command}/metrics.json").read_text())
        assert metrics["num_train_boxes"] == targets


def test_check_finds_no_fault_in_them(drawn):
    check(["annotations=scenes/annotations.jsonl", "images=scenes/images", "few=1", "near_bits=0", "run_dir=check"])
    told = json.loads(Path("check/check.json").read_text())
    assert json.loads(Path("check/metrics.json").read_text())["num_to_mend"] == 0
    numbers = [len(a.boxes_ltwh) for image in drawn for a in image.annotations]
    part = told["parts"]["train"]
    assert part["boxes"] == sum(len(image.targets) for image in drawn)
    assert (part["captions_one"], part["captions_none"]) == (numbers.count(1), numbers.count(0))
    assert part["captions_several"] == len(numbers) - numbers.count(0) - numbers.count(1)
    assert told["captions"]["train"]["boxes"] == sum(numbers)


def test_split_merge_and_noise_keep_every_entry_byte_for_byte(drawn):
    lines = Path("scenes/annotations.jsonl").read_bytes()
    split(["annotations=scenes/annotations.jsonl", "val_fraction=0.4", "run_dir=split"])
    assert Path("split/train.jsonl").read_bytes() + Path("split/val.jsonl").read_bytes() == lines
    merge(["sets=[split/train.jsonl,split/val.jsonl]", "run_dir=merged"])
    assert Path("merged/annotations.jsonl").read_bytes() == lines
    assert json.loads(Path("merged/metrics.json").read_text())["num_boxes"] == sum(len(i.targets) for i in drawn)
    noise(["annotations=scenes/annotations.jsonl", "images=scenes/images", "grade=blur3", "run_dir=noise"])
    assert Path("noise/annotations.jsonl").read_bytes() == lines
    scenes([*DRAW[1:], "annotations=split/val.jsonl", "run_dir=redrawn"])
    assert Path("redrawn/annotations.jsonl").read_bytes() == Path("split/val.jsonl").read_bytes()
