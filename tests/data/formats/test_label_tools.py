"""One set of labels in the forms of the label tools: each is recognised and says the same to the pixel."""

import json
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
import yaml

from core.images import write_image
from data.captions import read_annotations
from data.check import main as check
from data.crops import main as crops
from data.read import main as read
from data.yolo import main as yolo_main

# name, size (width, height), boxes: class, caption, left, top, width, height
SET = [
    ("batch 1/a.png", (128, 96), [("drone", "the left drone", (10, 20, 30, 40)), ("drone", "a drone", (60, 2, 16, 9))]),
    ("b.png", (80, 100), [("jet", "the jet that lands", (1, 1, 79, 99))]),
    ("empty.png", (64, 64), []),
]
CLASSES = ["drone", "jet"]


@pytest.fixture(autouse=True)
def _images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, (width, height), _ in SET:
        write_image(f"images/{name}", np.full((height, width, 3), 90, np.uint8))


def expected(captions: bool) -> dict[str, list]:
    """Caption (or class) -> its boxes, image by image."""
    found = {}
    for name, _, boxes in SET:
        found[name] = {}
        for kind, caption, box in boxes:
            found[name].setdefault(caption if captions else kind, []).append(box)
    return found


def written(path: str) -> dict[str, list]:
    return {i.image: {a.caption: list(a.boxes_ltwh) for a in i.annotations} for i in read_annotations(path)}


def coco(kind: str, first_id: int = 7) -> dict:
    """`plain` has categories alone, `caption` its own captions, `cvat` captions in attributes."""
    annotations = []
    for number, (_, _, boxes) in enumerate(SET):
        for name, caption, box in boxes:
            entry = {"id": len(annotations) + 1, "image_id": first_id + 3 * number, "iscrowd": 0, "bbox": list(box),
                     "category_id": CLASSES.index(name) + 1, "area": box[2] * box[3]}  # fmt: skip
            entry |= {"caption": caption} if kind == "caption" else {}
            told = {"occluded": False, "rotation": 0.0, "caption": caption}
            entry |= {"attributes": told} if kind == "cvat" else {}
            annotations.append(entry)
    images = [{"id": first_id + 3 * n, "file_name": name, "width": w, "height": h}
              for n, (name, (w, h), _) in enumerate(SET)]  # fmt: skip
    return {"images": images, "annotations": annotations,
            "categories": [{"id": n, "name": name} for n, name in enumerate(CLASSES, start=1)]}  # fmt: skip


def label_line(size, kind, box) -> str:
    (width, height), (left, top, w, h) = size, box
    numbers = ((left + w / 2) / width, (top + h / 2) / height, w / width, h / height)
    return " ".join([str(CLASSES.index(kind)), *(f"{n:.6f}" for n in numbers)]) + "\n"


def yolo(folder: Path, image: str = "images/{}", label: str = "labels/{}") -> None:
    """Images and labels under their places in a folder."""
    for name, size, boxes in SET:
        write_image(folder / image.format(name), np.full((size[1], size[0], 3), 90, np.uint8))
        path = (folder / label.format(name)).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        if boxes:
            path.write_text("".join(label_line(size, kind, box) for kind, _, box in boxes))


def label_studio(captions: bool, name: str = "/data/local-files/?d=shots/{}") -> list[dict]:
    tasks = []
    for number, (image, (width, height), boxes) in enumerate(SET):
        results = []
        for key, (kind, caption, (left, top, w, h)) in enumerate(boxes):
            place = {"x": left / width * 100, "y": top / height * 100, "width": w / width * 100,
                     "height": h / height * 100, "rotation": 0}  # fmt: skip
            frame = {"id": f"r{key}", "to_name": "image", "original_width": width, "original_height": height,
                     "image_rotation": 0}  # fmt: skip
            results.append(frame | {"type": "rectanglelabels", "from_name": "label",
                                    "value": place | {"rectanglelabels": [kind]}})  # fmt: skip
            if captions:
                results.append(
                    frame | {"type": "textarea", "from_name": "caption", "value": place | {"text": [caption]}}
                )
        address = name.format(image.replace(" ", "%20"))
        tasks.append({"id": number + 1, "data": {"image": address}, "predictions": [],
                      "annotations": [{"id": 1, "was_cancelled": False, "result": results}]})  # fmt: skip
    return tasks


def cvat(captions: bool) -> str:
    text = "<?xml version='1.0'?><annotations><version>1.1</version><meta><task/></meta>"
    for number, (name, (width, height), boxes) in enumerate(SET):
        text += f"<image id='{number}' name={quoteattr(name)} width='{width}' height='{height}'>"
        for kind, caption, (left, top, w, h) in boxes:
            inner = f"<attribute name='caption'>{caption}</attribute>" if captions else ""
            text += (f"<box label='{kind}' source='manual' occluded='0' xtl='{left:.2f}' ytl='{top:.2f}' "
                     f"xbr='{left + w:.2f}' ybr='{top + h:.2f}' z_order='0'>{inner}</box>")  # fmt: skip
        text += "</image>"
    return text + "</annotations>"


def voc(folder: Path, first: int, captions: bool) -> None:
    for name, (width, height), boxes in SET:
        objects = ""
        for kind, caption, (left, top, w, h) in boxes:
            said = f"<caption>{caption}</caption>" if captions else ""
            corners = (
                f"<xmin>{left + first}</xmin><ymin>{top + first}</ymin><xmax>{left + w}</xmax><ymax>{top + h}</ymax>"
            )
            objects += f"<object><name>{kind}</name>{said}<bndbox>{corners}</bndbox></object>"
        path = (folder / "Annotations" / name).with_suffix(".xml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<annotation><filename>{Path(name).name}</filename><size><width>{width}</width>"
                        f"<height>{height}</height></size>{objects}</annotation>")  # fmt: skip


def source_of(form: str, captions: bool) -> tuple[str, str, str]:
    """(source, format, where captions come from) of the set in a form."""
    if form.startswith("coco"):
        Path("c.json").write_text(json.dumps(coco(("cvat" if "cvat" in form else "caption") if captions else "plain")))
        return "c.json", "coco", ("attributes.caption" if "cvat" in form else "caption") if captions else "category"
    if form == "label_studio":
        Path("l.json").write_text(json.dumps(label_studio(captions)))
        return "l.json", "label_studio", "caption" if captions else "category"
    if form == "cvat":
        Path("annotations.xml").write_text(cvat(captions))
        return "annotations.xml", "cvat", "attributes.caption" if captions else "category"
    first = 1 if form == "voc_from_1" else 0
    voc(Path("v"), first, captions)
    return "v", "voc", "caption" if captions else "category"


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
    assert turned.endswith("(its EXIF turns it, and the labels were drawn on it unturned)")


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
