"""Every command that takes an annotation file takes the labels of other tools, and says what it made of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from core.images import write_image
from data.captions import read_annotations
from data.check import main as check
from data.crops import main as crops
from data.merge import main as merge
from data.noise import main as noise
from data.read import main as read
from data.scenes import main as scenes
from data.split import main as split
from data.write import main as write
from data.yolo import main as yolo
from eval.coco import main as judge_boxes
from eval.grounding import main as judge

BOXES = [[10, 10, 20, 20], [50, 10, 30, 20], [10, 60, 20, 30], [40, 50, 30, 30]]


@pytest.fixture(autouse=True)
def coco(tmp_path, monkeypatch):
    """A COCO file of four images whose ids are neither places nor in order."""
    monkeypatch.chdir(tmp_path)
    images, annotations = [], []
    for number, (key, box) in enumerate(zip((30, 7, 12, 100), BOXES, strict=True)):
        write_image(f"images/cam/p{number}.png", np.full((100, 90, 3), 60 * number, np.uint8))
        images.append({"id": key, "file_name": f"cam/p{number}.png", "width": 90, "height": 100})
        annotations.append({"id": number + 1, "image_id": key, "category_id": 1, "bbox": box, "iscrowd": 0})
    value = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "drone"}]}
    Path("coco.json").write_text(json.dumps(value))
    return value


def test_a_coco_file_goes_through_every_command(complaint):
    split(["annotations=coco.json", "val_fraction=0.5", "run_dir=split"])
    assert yaml.safe_load(Path("split/config.yaml").read_text())["annotations"] == "split/annotations.jsonl"
    assert [i.image for i in read_annotations("split/val.jsonl")] == ["cam/p2.png", "cam/p3.png"]
    assert [i.id for i in read_annotations("split/val.jsonl")] == [12, 100]
    check(["annotations=coco.json", "images=images", "run_dir=check"])
    assert json.loads(Path("check/metrics.json").read_text()).get("broken_entry", 0) == 0
    crops(["annotations=coco.json", "images=images", "run_dir=crops"])
    assert json.loads(Path("crops/metrics.json").read_text())["num_crops"] == 4
    yolo(["annotations=coco.json", "images=images", "run_dir=tree"])
    assert Path("tree/labels/train/cam/p0.txt").is_file()
    predictions = [{"image": i.image, "annotations": [{"caption": "drone", "bbox": list(i.targets[0])}]}
                   for i in read_annotations("split/annotations.jsonl")]  # fmt: skip
    Path("p.json").write_text(json.dumps(predictions))
    judge(["truth=coco.json", "predictions=p.json", "run_dir=grounding"])
    assert json.loads(Path("grounding/metrics.json").read_text())["accuracy"] == 1
    shutil.copy("coco.json", "annotations.jsonl.json")
    assert "overwrite its own input" in complaint(split, "annotations=split/train.jsonl", "run_dir=split")


def test_a_tree_brings_its_parts_and_its_images(coco, complaint):
    split(["annotations=coco.json", "val_fraction=0.5", "run_dir=split"])
    yolo(["annotations=split/train.jsonl", "val=split/val.jsonl", "images=images", "run_dir=tree"])
    yolo(["annotations=tree", "run_dir=again"])
    for part in ("train", "val"):
        first, second = read_annotations(f"tree/{part}.jsonl"), read_annotations(f"again/{part}.jsonl")
        assert first == second
    check(["annotations=tree", "run_dir=check"])
    assert set(json.loads(Path("check/check.json").read_text())["parts"]) == {"train", "val"}
    said = complaint(split, "annotations=tree", "run_dir=s")
    assert "has the parts train, val; part=train or part=val takes one of them, and data.read source=tree" in said
    said = complaint(split, "annotations=tree", "part=tset", "run_dir=s")
    assert "part: 'tset' is no part of tree; part=train or part=val is" in said
    assert "leave out part=val" in complaint(split, "annotations=split/val.jsonl", "part=val", "run_dir=s")
    read(["source=tree", "run_dir=read"])
    assert read_annotations("read/val.jsonl") == read_annotations("split/val.jsonl")


def test_one_part_of_a_tree_goes_through_every_command(complaint):
    """Cutting, spoiling, drawing, merging and judging take the part that `part` names, as `valid` too."""
    split(["annotations=coco.json", "val_fraction=0.5", "run_dir=split"])
    yolo(["annotations=split/train.jsonl", "val=split/val.jsonl", "images=images", "run_dir=tree"])
    part, val = ["annotations=tree", "part=valid"], read_annotations("split/val.jsonl")
    images = "images=tree/images/val"
    crops([*part, images, "run_dir=crops"])
    noise([*part, images, "grade=clean", "run_dir=noisy"])
    Path("cutouts").mkdir()
    Image.new("RGBA", (8, 8), (90, 90, 90, 255)).save("cutouts/drone_1.png")
    scenes([*part, "size=[100,110]", "run_dir=drawn", "cutouts=cutouts"])
    check([*part, images, "run_dir=check"])
    write([*part, images, "format=coco", "run_dir=back"])
    for place in ("crops/annotations.jsonl", "noisy/annotations.jsonl", "drawn/given.jsonl", "back/annotations.jsonl"):
        assert read_annotations(place) == val
    assert [i.image for i in read_annotations("drawn/annotations.jsonl")] == [i.image for i in val]
    assert json.loads(Path("crops/metrics.json").read_text())["num_crops"] == 2
    merge(["sets=[tree,split/train.jsonl]", "part=val", "run_dir=merged"])
    merged = read_annotations("merged/annotations.jsonl")
    assert sorted(i.image for i in merged) == [f"cam/p{n}.png" for n in range(4)]
    assert "has the parts train, val" in complaint(merge, "sets=[tree,split/train.jsonl]", "run_dir=m")
    found = [{"file_name": i.image, "bbox": list(i.targets[0]), "score": 0.9} for i in val]
    Path("found.json").write_text(json.dumps(found))
    judge_boxes(["truth=tree", "part=val", "detections=found.json", "run_dir=coco"])
    assert json.loads(Path("coco/metrics.json").read_text())["AP"] == pytest.approx(1)


def test_faults_are_findings_for_data_check_and_refused_by_the_others(coco, complaint):
    coco["annotations"][0]["bbox"] = [1, 2, 0, 4]
    coco["annotations"][1]["image_id"] = 5
    Path("coco.json").write_text(json.dumps(coco))
    said = complaint(split, "annotations=coco.json", "run_dir=split")
    assert "2 faults in all, listed in split/faults.txt; data.read source=coco.json faulty=skip" in said
    check(["annotations=coco.json", "images=images", "run_dir=check"])
    found = json.loads(Path("check/check.json").read_text())["findings"]["broken_entry"]
    assert [item["what"] for item in found] == [
        "field 'annotations[0].bbox': [1, 2, 0, 4] has no area", "field 'annotations[1].image_id': 5 is no image's id"
    ]  # fmt: skip


def results(keys) -> str:
    found = [
        {"image_id": key, "category_id": 1, "bbox": box, "score": 0.9} for key, box in zip(keys, BOXES, strict=False)
    ]
    Path("results.json").write_text(json.dumps(found))
    return "detections=results.json"


def test_results_that_name_images_by_the_ids_of_the_coco_file_find_their_truth(complaint):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    judge_boxes(["truth=coco.json", results((30, 7, 12, 100)), "run_dir=a"])
    assert json.loads(Path("a/metrics.json").read_text())["AP"] == pytest.approx(1)
    read(["source=coco.json", "run_dir=read"])
    judge_boxes(["truth=read/annotations.jsonl", results((30, 7)), "run_dir=b"])
    theirs = json.loads(Path("coco.json").read_text())
    for entry in theirs["annotations"]:
        entry["area"] = entry["bbox"][2] * entry["bbox"][3]
    Path("theirs.json").write_text(json.dumps(theirs | {"info": {}}))
    truth = COCO("theirs.json")
    reference = COCOeval(truth, truth.loadRes("results.json"), "bbox")
    reference.evaluate()
    reference.accumulate()
    reference.summarize()
    assert json.loads(Path("b/metrics.json").read_text())["AP"] == pytest.approx(reference.stats[0], abs=1e-12)
    said = complaint(judge_boxes, "truth=coco.json", results((30, 1)), "run_dir=c")
    assert "1 detection of 1 image is not in the truth: 1" in said


def test_an_id_that_can_be_read_in_two_ways_is_never_guessed(complaint):
    names = sorted(f"{n}.jpg" for n in range(1, 13))  # 1, 10, 11, 12, 2, ...
    rows = [{"image": name, "annotations": [{"caption": "drone", "bbox": [10 * i + 5, 20, 30, 40]}]}
            for i, name in enumerate(names)]  # fmt: skip
    Path("t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = [{"image_id": int(Path(row["image"]).stem), "bbox": row["annotations"][0]["bbox"], "score": 0.9}
             for row in rows]  # fmt: skip
    Path("results.json").write_text(json.dumps(found))
    words = ["truth=t.jsonl", "detections=results.json"]
    said = complaint(judge_boxes, *words, "run_dir=a")
    assert "field 'image_id': 10 can be line 10 of the truth (7.jpg) or the number in a file name (10.jpg)" in said
    judge_boxes([*words, "image_ids=stem", "run_dir=b"])
    assert json.loads(Path("b/metrics.json").read_text())["AP"] == pytest.approx(1)
    found = [entry | {"image_id": entry["image_id"] + 100} for entry in found]
    Path("t.jsonl").write_text(Path("t.jsonl").read_text().replace('"image": "', '"image": "0').replace(
        ".jpg", ".png").replace('"image": "0', '"image": "10'))  # fmt: skip
    found = [{**entry, "image_id": int("10" + str(entry["image_id"] - 100))} for entry in found]
    Path("results.json").write_text(json.dumps(found))  # beyond the lines: only the names are left
    judge_boxes([*words, "run_dir=c"])
    assert json.loads(Path("c/metrics.json").read_text())["AP"] == pytest.approx(1)
