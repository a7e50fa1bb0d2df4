"""What `data.write` makes for a label tool `data.read` gives back to the pixel."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from core.images import write_image
from data.captions import read_annotations
from data.read import main as read
from data.write import main as write

FORMS = {"coco": "coco.json", "label_studio": "label_studio.json", "cvat": "annotations.xml", "yolo": ""}
SIZE = (97, 61)  # nothing divides by it
IMAGES = [
    ("a folder/a.png", [
        {"caption": "grey missile", "bbox": [9, 16, 48, 15]},
        {"caption": "the left one & <its> \"shadow\"", "bbox": [9, 16, 48, 15]},
        {"caption": "two of them", "boxes": [[1, 2, 3, 4], [50.25, 7.5, 20.125, 30]]},
        {"caption": "red helicopter", "boxes": []},
    ]),
    ("ü b.png", [{"caption": "grey missile", "boxes": [[0, 0, 97, 61], [33, 1, 7, 59]]}]),
    ("empty.png", []),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, _ in IMAGES:
        write_image(f"images/{name}", np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    Path("a.jsonl").write_text("".join(json.dumps({"image": n, "annotations": a}) + "\n" for n, a in IMAGES))


def said(path: str) -> list:
    """(image, caption -> its boxes) whatever their order, numbers and their types as they are."""
    return [(i.image, {a.caption: sorted(a.boxes_ltwh) for a in i.annotations},
             sorted((type(v).__name__, v) for a in i.annotations for box in a.boxes_ltwh for v in box))
            for i in read_annotations(path)]  # fmt: skip


@pytest.mark.parametrize("classes", ["target", "captions"])
@pytest.mark.parametrize("form", FORMS)
def test_labels_come_back_to_the_pixel(form, classes):
    write(["annotations=a.jsonl", "images=images", f"format={form}", f"classes={classes}", "run_dir=out"])
    read([f"source=out/{FORMS[form]}", "images=images", "run_dir=back"])
    back = "back/train.jsonl" if form == "yolo" else "back/annotations.jsonl"
    assert sorted(said(back)) == sorted(said("a.jsonl"))
    told = json.loads(Path("out/metrics.json").read_text())
    assert (told["num_images"], told["num_boxes"]) == (3, 5)
    if form != "yolo":
        write(["annotations=a.jsonl", f"size=[{SIZE[0]},{SIZE[1]}]", f"format={form}", f"classes={classes}",
               "run_dir=sized"])  # fmt: skip
        assert Path("sized", FORMS[form]).read_bytes() == Path("out", FORMS[form]).read_bytes()


def test_what_the_tools_need_beside_the_labels():
    write(["annotations=a.jsonl", "images=images", "format=cvat", "run_dir=cvat"])
    labels = json.loads(Path("cvat/labels.json").read_text())
    known = {label["name"]: {a["name"] for a in label["attributes"]} for label in labels}
    for image in ElementTree.parse("cvat/annotations.xml").getroot().iter("image"):
        assert all({a.get("name") for a in shape} <= known[shape.get("label")] for shape in image)
    write(["annotations=a.jsonl", "images=images", "format=label_studio", "run_dir=studio"])
    tags = {element.get("name") for element in ElementTree.parse("studio/interface.xml").getroot().iter()}
    tasks = json.loads(Path("studio/label_studio.json").read_text())
    results = [result for task in tasks for result in task["annotations"][0]["result"]]
    assert {name for result in results for name in (result["from_name"], result["to_name"])} <= tags
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=a%20folder/a.png"
    write(["annotations=a.jsonl", "images=images", "format=yolo", "run_dir=tree"])
    assert yaml.safe_load(Path("tree/data.yaml").read_text())["names"] == dict(enumerate(
        ["grey missile", "the left one & <its> \"shadow\"", "two of them", "red helicopter"]))  # fmt: skip


def test_a_label_that_was_mended_in_the_tool_comes_back_mended():
    write(["annotations=a.jsonl", "images=images", "format=cvat", "run_dir=out"])
    path = Path("out/annotations.xml")
    path.write_text(path.read_text().replace('xtl="1" ytl="2"', 'xtl="0" ytl="1.50"').replace("two of them", "both"))
    read(["source=out/annotations.xml", "images=images", "run_dir=back"])
    boxes = {a.caption: a.boxes_ltwh for a in read_annotations("back/annotations.jsonl")[0].annotations}
    assert boxes["both"] == ((0, 1.5, 4, 4.5), (50.25, 7.5, 20.125, 30))


def test_what_cannot_be_written_is_refused(complaint):
    words = ["annotations=a.jsonl", "run_dir=out"]
    assert "images: must be given (images=DIR)" in complaint(write, *words, "format=yolo", "size=[97,61]")
    Path("b.jsonl").write_text(json.dumps({"image": "a.png", "annotations": [{"caption": "a\u0007", "boxes": []}]}))
    said = complaint(write, "annotations=b.jsonl", "size=[9,9]", "format=cvat", "run_dir=x")
    assert "that no XML file can hold" in said
