"""One set of labels in the forms of the label tools: each is recognised and says the same to the pixel."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from tool_forms import CLASSES, SET, coco, cvat, expected, label_studio, source_of, voc, written, yolo

from core.images import write_image
from data.captions import read_annotations
from data.check import main as check
from data.crops import main as crops
from data.read import main as read
from data.yolo import main as yolo_main


@pytest.fixture(autouse=True)
def _images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, (width, height), _ in SET:
        write_image(f"images/{name}", np.full((height, width, 3), 90, np.uint8))


@pytest.mark.parametrize("captions", [True, False])
@pytest.mark.parametrize("form", ["coco", "coco_cvat", "label_studio", "cvat", "voc_from_1", "voc_from_0"])
def test_each_form_says_the_same_to_the_pixel(form, captions, capsys):
    source, name, origin = source_of(form, captions)
    corners = "zero_based" if form == "voc_from_0" else "auto"
    read([f"source={source}", "images=images", f"corners={corners}", "run_dir=out"])
    assert written("out/annotations.jsonl") == expected(captions)
    told = json.loads(Path("out/metrics.json").read_text())
    assert (told["format"], told["captions_from"], told["num_faults"]) == (name, {origin: 3}, 0)
    assert f"captions: 3 from {origin}" in capsys.readouterr().out
    if captions:
        read([f"source={source}", "images=images", "captions=category", f"corners={corners}", "run_dir=kinds"])
        assert written("kinds/annotations.jsonl") == expected(False)
    sizes = {i.image: i.size for i in read_annotations("out/annotations.jsonl")}
    assert sizes["b.png"] == (80, 100)


@pytest.mark.parametrize("layout", ["ultralytics", "roboflow", "cvat", "label_studio", "darknet"])
def test_yolo_trees_of_every_tool(layout):
    folder = Path("set")
    names = {"names": CLASSES, "nc": 2}
    if layout == "ultralytics":
        yolo(folder, "images/train/{}", "labels/train/{}")
        (folder / "own.yaml").write_text(yaml.safe_dump({"path": ".", "train": "images/train", **names}))
    elif layout == "roboflow":
        yolo(folder, "train/images/{}", "train/labels/{}")
        (folder / "data.yaml").write_text(yaml.safe_dump({"train": "../train/images", **names}))
    elif layout == "cvat":
        yolo(folder, "obj_train_data/{}", "obj_train_data/{}")
        (folder / "obj.data").write_text("classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = b/\n")
        (folder / "obj.names").write_text("drone\njet\n")
        (folder / "train.txt").write_text("".join(f"data/obj_train_data/{name}\n" for name, _, _ in SET))
    else:
        inner = "{}" if layout == "darknet" else "images/{}"
        yolo(folder, inner, inner.replace("images", "labels"))
        (folder / "classes.txt").write_text("drone\njet\n")
    read(["source=set", "run_dir=out"])
    part = "annotations" if layout in {"label_studio", "darknet"} else "train"
    found, true = written(f"out/{part}.jsonl"), expected(False)
    assert found.keys() == true.keys()
    for image, captions in true.items():  # six decimals of a fraction, as the tools write them
        for caption, boxes in captions.items():
            assert np.allclose(found[image][caption], boxes, atol=2e-4)


def test_json_min_uploads_polygons_and_turned_boxes_of_label_studio():
    tasks = label_studio(True, "/data/upload/3/0123abcd-{}")
    tasks[0]["data"]["image"] = tasks[0]["data"]["image"].replace("batch%201/", "")
    write_image("flat/a.png", np.zeros((96, 128, 3), np.uint8))
    for name in ("b.png", "empty.png"):
        (Path("flat") / name).symlink_to(Path("images", name).resolve())
    result = tasks[1]["annotations"][0]["result"][0]
    result["value"] |= {"x": 50, "y": 10, "width": 25, "height": 20, "rotation": 90}  # about the upper left corner
    points = {"points": [[10, 10], [50, 20], [30, 60]], "polygonlabels": ["jet"]}
    frame = {"original_width": 80, "original_height": 100, "image_rotation": 0}
    tasks[1]["annotations"][0]["result"].append({"id": "p", "type": "polygonlabels", "value": points, **frame})
    tasks[2]["annotations"] = [{"was_cancelled": True, "result": []}]
    Path("l.json").write_text(json.dumps(tasks))
    read(["source=l.json", "images=flat", "run_dir=out"])
    found = written("out/annotations.jsonl")
    assert list(found) == ["a.png", "b.png"]  # the third was cancelled: nobody says that nothing is there
    assert json.loads(Path("out/metrics.json").read_text())["notes"]["tasks left out: nobody has labelled them"] == 1
    assert found["b.png"] == {"the jet that lands": [(20, 10, 20, 20)], "jet": [(8, 10, 32, 50)]}
    value = {"x": 25, "y": 50, "width": 50, "height": 25, "rectanglelabels": ["jet"], "original_width": 80,
             "original_height": 100}  # fmt: skip
    Path("min.json").write_text(json.dumps([{"image": "b.png", "id": 1, "label": [value], "annotator": 1}]))
    read(["source=min.json", "run_dir=least"])
    assert written("least/annotations.jsonl") == {"b.png": {"jet": [(20, 50, 40, 25)]}}


def test_crowds_polygons_masks_and_ids_of_coco():
    value = coco("plain", first_id=30)
    first, second, third = value["annotations"]
    first |= {"bbox": None, "segmentation": [[10, 20, 40, 20, 40, 60, 10, 60]]}
    second.pop("bbox")
    runs = np.zeros((96, 128), np.uint8)
    runs[2:11, 60:76] = 1
    edges = np.flatnonzero(np.diff(np.concatenate([[2], runs.T.reshape(-1), [2]])))
    second["segmentation"] = {"size": [96, 128], "counts": np.diff(edges).tolist()}
    value["annotations"].append(third | {"id": 9, "iscrowd": 1})
    Path("c.json").write_text(json.dumps(value))
    read(["source=c.json", "run_dir=out"])
    assert written("out/annotations.jsonl") == expected(False)
    assert [i.id for i in read_annotations("out/annotations.jsonl")] == [30, 33, 36]
    told = json.loads(Path("out/metrics.json").read_text())["notes"]
    assert told["crowd regions left out: they are no objects"] == 1


def test_shapes_subsets_and_video_of_cvat(complaint):
    shapes = (
        "<polygon label='jet' points='4,5;20.5,5;9,30'/><ellipse label='jet' cx='30' cy='40' rx='5' ry='8'/>"
        "<mask label='jet' rle='1,2' left='3' top='4' width='5' height='6'/><points label='jet' points='1,1'/>"
    )
    text = cvat(False).replace("</image>", f"{shapes}</image>", 1)
    for number, subset in enumerate(("Train", "Validation")):
        text = text.replace(f"<image id='{number}'", f"<image id='{number}' subset='{subset}'")
    Path("x.xml").write_text(text)
    read(["source=x.xml", "run_dir=out"])
    assert sorted(p.stem for p in Path("out").glob("*.jsonl")) == ["annotations", "train", "val"]
    found = written("out/train.jsonl")["batch 1/a.png"]
    assert found["jet"] == [(4, 5, 16.5, 25), (25, 32, 10, 16), (3, 4, 5, 6)]
    assert json.loads(Path("out/metrics.json").read_text())["notes"]["shapes left out: points has no box"] == 1
    Path("v.xml").write_text("<annotations><track id='0'/></annotations>")
    assert "export CVAT for images 1.1" in complaint(read, "source=v.xml", "run_dir=video")


def faulty() -> dict:
    value = coco("caption")
    value["annotations"][0]["bbox"] = [5, 5, 0, 0]
    value["annotations"][1]["image_id"] = 999
    value["images"][1]["file_name"] = "C:\\shots\\b.png"
    value["images"][2] |= {"width": 1280, "height": 960}
    return value


def test_all_faults_are_told_at_once_and_can_be_skipped(complaint, capsys):
    Path("c.json").write_text(json.dumps(faulty()))
    said = complaint(read, "source=c.json", "images=images", "run_dir=out")
    listed = Path("out/faults.txt").read_text().splitlines()
    assert "4 faults in all, listed in out/faults.txt; faulty=skip" in said
    for fault, part in zip(listed, (
        "field 'images[1].file_name': 'C:\\\\shots\\\\b.png' has backslashes; names=base",
        "field 'annotations[0].bbox': [5, 5, 0, 0] has no area",
        "field 'annotations[1].image_id': 999 is no image's id",
        "image empty.png: field 'width': labelled at 1280 x 960, but empty.png is 64 x 64",
    ), strict=True):  # fmt: skip
        assert part in fault
    assert not list(Path("out").glob("*.jsonl"))
    read(["source=c.json", "images=images", "faulty=skip", "run_dir=out"])
    assert list(written("out/annotations.jsonl")) == ["batch 1/a.png"]
    assert json.loads(Path("out/metrics.json").read_text())["num_faults"] == 4
    value = coco("caption")
    value["images"][1]["file_name"] = "C:\\shots\\b.png"
    Path("d.json").write_text(json.dumps(value))
    read(["source=d.json", "names=base", "run_dir=base"])
    assert list(written("base/annotations.jsonl")) == ["a.png", "b.png", "empty.png"]


def test_a_size_that_disagrees_is_found_by_what_reads_the_file_later(complaint):
    value = coco("caption")
    value["images"][0] |= {"width": 256, "height": 192}
    Path("labels").mkdir()
    Path("labels/c.json").write_text(json.dumps(value))
    read(["source=labels/c.json", "run_dir=out"])
    said = complaint(crops, "annotations=out/annotations.jsonl", "images=images", "run_dir=crops")
    assert "line 1: field 'width': labelled at 256 x 192, but batch 1/a.png is 128 x 96" in said
    check(["annotations=out/annotations.jsonl", "images=images", "run_dir=check"])
    assert json.loads(Path("check/metrics.json").read_text())["other_size"] == 1


def test_an_export_with_parts_brings_its_images(complaint):
    """Roboflow's COCO and Pascal VOC: a folder a part, labels beside the images."""
    for number, (part, (name, size, _)) in enumerate(zip(("train", "valid", "test"), SET, strict=True)):
        write_image(f"flow/{part}/{Path(name).name}", np.zeros((size[1], size[0], 3), np.uint8))
        value = coco("plain")
        value["images"] = [value["images"][number] | {"file_name": Path(name).name}]
        kept = value["images"][0]["id"]
        value["annotations"] = [a for a in value["annotations"] if a["image_id"] == kept]
        Path(f"flow/{part}/_annotations.coco.json").write_text(json.dumps(value))
    read(["source=flow", "run_dir=out"])
    assert sorted(p.stem for p in Path("out").glob("*.jsonl")) == ["test", "train", "val"]
    yolo_main(["annotations=flow", "run_dir=tree"])
    assert [p.name for p in sorted(Path("tree/images").rglob("*.png"))] == ["a.png", "b.png"]
    value["images"][0] |= {"width": 12}
    Path("flow/test/_annotations.coco.json").write_text(json.dumps(value))
    assert "labelled at 12 x 64" in complaint(read, "source=flow", "run_dir=faulty")
    voc(Path("v"), 1, False)
    Path("v/JPEGImages").symlink_to(Path("images").resolve())
    check(["annotations=v", "run_dir=check"])
    told = json.loads(Path("check/metrics.json").read_text())
    assert told.get("missing_image", 0) == 0
    assert json.loads(Path("check/check.json").read_text())["parts"]["train"]["sizes"]["80 x 100"] == 1


def test_labels_of_an_image_that_exif_turns_and_boxes_beyond_it(complaint):
    value = coco("plain")
    value["images"][0] |= {"width": 96, "height": 128}
    value["annotations"][2]["bbox"] = [80, 10, 5, 5]
    Path("c.json").write_text(json.dumps(value))
    complaint(read, "source=c.json", "images=images", "run_dir=out")
    beyond, turned = Path("out/faults.txt").read_text().splitlines()
    assert "field 'annotations[2].bbox': [80, 10, 5, 5] lies wholly outside the 80 x 100 image" in beyond
    assert turned.endswith(
        "(the other way round: labels drawn on it as its EXIF does not show it, or two words swapped)"
    )


def test_captions_come_from_where_they_are_said_to(complaint):
    value = coco("plain")
    for number, entry in enumerate(value["annotations"]):
        entry["attributes"] = {"colour": f"red {number}", "seen": True}
    Path("c.json").write_text(json.dumps(value))
    read(["source=c.json", "captions=attributes.colour", "run_dir=out"])
    assert [list(captions) for captions in written("out/annotations.jsonl").values()] == [
        ["red 0", "red 1"], ["red 2"], []]  # fmt: skip
    read(["source=c.json", "run_dir=kinds"])
    (note,) = json.loads(Path("kinds/metrics.json").read_text())["notes"]
    assert "boxes have attributes that are not captions (colour, seen)" in note
    assert "3 faults in all" in complaint(read, "source=c.json", "captions=caption", "run_dir=none")
    assert "captions: 'colour' is not auto" in complaint(read, "source=c.json", "captions=colour", "run_dir=none")
