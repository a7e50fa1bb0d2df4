"""Labels that could be read as something else than they are: refused, told, or read as the tool means them."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from core.images import write_image
from data.captions import read_annotations
from data.formats.doubts import ANYWAY
from data.read import main as read

GOOD = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]}


@pytest.fixture(autouse=True)
def images():
    for name in "ab":
        write_image(f"images/{name}.png", np.full((80, 100, 3), 90, np.uint8))


def coco(*annotations, image=1, categories=({"id": 1, "name": "drone"},), **more):
    entries = [{"id": n + image, "image_id": image} | {k: v for k, v in entry.items() if k != "id"}
               for n, entry in enumerate(annotations)]  # fmt: skip
    return json.dumps({"images": [{"id": image, "file_name": "a.png", "width": 100, "height": 80}],
                       "annotations": entries, "categories": list(categories), **more})  # fmt: skip


def taken(content, name="s.json", *words, folder="out"):
    """(captions and boxes of the image, what was said) of a source of this content."""
    if isinstance(content, str | bytes):
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    said = io.StringIO()
    with redirect_stdout(said):
        read([f"source={name}", "images=images", f"run_dir={folder}", *words])
    (image, *_) = read_annotations(next(Path(folder).glob("*.jsonl")))
    return {a.caption: [list(box) for box in a.boxes_ltwh] for a in image.annotations}, said.getvalue()


BOX = {"drone": [[1, 2, 30, 40]]}


@pytest.mark.parametrize("content", [
    coco({**GOOD, "image_id": 1.0, "category_id": 1.0}),
    coco(GOOD, image=1.0),
    coco(GOOD, categories=[{"id": "1", "name": "drone"}]),
    b"\xef\xbb\xbf" + coco(GOOD).replace(", ", ",\r\n").encode(),
    coco({**GOOD, "iscrowd": "0"}),
])  # fmt: skip
def test_coco_as_tables_and_other_systems_write_it(content):
    assert taken(content)[0] == BOX


SHAPE = {key: GOOD[key] for key in ("id", "image_id", "category_id")}


@pytest.mark.parametrize(("content", "message"), [
    (coco(GOOD, categories=[{"id": 1, "name": "drone"}, {"id": 1, "name": "jet"}]), "1 is the id of two categories"),
    (coco(GOOD, categories=[]), "field 'annotations[0].category_id': has not a caption"),
    (coco({**SHAPE, "segmentation": [[1, 2, 30, 40]]}), "a polygon of fewer than three points"),
    (coco({**SHAPE, "segmentation": [[1, 2, 30, 40, 5, 6, 7]]}), "or of half a one"),
    (coco({**SHAPE, "segmentation": {"size": [80, 100], "counts": [160, 10, 70]}}), "a mask of 240 pixels in all"),
    (coco({**SHAPE, "segmentation": {"size": [100, 80], "counts": [160, 10, 7830]}}), "a mask of 80 x 100 on an image"),
    (coco({**GOOD, "bbox": [60, 50, 95, 75]}, {**GOOD, "bbox": [50, 40, 99, 60]}),
     "2 of 2 boxes reach over an edge of their image, and all look like left, top, right, bottom; " + ANYWAY),
    (coco({**GOOD, "bbox": [0.1, 0.2, 0.3, 0.4]}), "1 box lies within the first pixel, as fractions of an image do"),
    (coco(GOOD).encode("utf-16"), "s.json: is UTF-16; save it as UTF-8"),
    (json.dumps({"images": [], "annotations": [], "categories": []}), "s.json: read as coco, holds no images"),
])  # fmt: skip
def test_coco_that_is_not_what_it_says(content, message, complaint):
    Path("s.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert message in complaint(read, "source=s.json", "images=images", "run_dir=out")


def test_an_uncompressed_mask_and_a_number_for_a_name():
    mask = {**SHAPE, "segmentation": {"size": [80, 100], "counts": [160, 10, 70, 10, 7750]}}
    assert taken(coco(mask, categories=[{"id": 1, "name": 7}]))[0] == {"7": [[2, 0, 2, 10]]}


def test_boxes_over_an_edge_are_told_and_what_is_doubted_can_be_taken():
    boxes, said = taken(coco(GOOD, {**GOOD, "bbox": [90, 5, 30, 10]}))
    assert boxes == {"drone": [[1, 2, 30, 40], [90, 5, 30, 10]]}
    assert "1 boxes reach over an edge of their image" in said
    doubted = coco({**GOOD, "bbox": [60, 50, 95, 75]}, {**GOOD, "bbox": [50, 40, 99, 60]})
    assert len(taken(doubted, "s.json", "faulty=skip", folder="all")[0]["drone"]) == 2
    many = coco(*({**GOOD, "bbox": [n, n, n + 20, n + 25]} for n in range(20)))
    assert "20 boxes, which is all, could be left, top, right, bottom as well" in taken(many, "m.json", folder="m")[1]


def test_our_own_file_is_doubted_too(complaint, capsys):
    from data.yolo import main as yolo

    entry = '{"image": "%s.png", "annotations": [{"caption": "drone", "bbox": %s}]}\n'
    Path("a.jsonl").write_text(entry % ("a", [0.1, 0.2, 0.3, 0.4]) + entry % ("b", [0.5, 0.5, 0.1, 0.1]))
    for main, name in ((read, "source"), (yolo, "annotations")):
        said = complaint(main, f"{name}=a.jsonl", "images=images", f"run_dir={name}")
        assert "2 boxes lie within the first pixel, as fractions of an image do; boxes are in pixels" in said
    Path("a.jsonl").write_text(entry % ("a", [60, 50, 95, 75]) + entry % ("b", [50, 40, 99, 60]))
    yolo(["annotations=a.jsonl", "images=images", "run_dir=tree"])
    assert "clipped for crops, labels and drawing; all look like left, top, right, bottom" in capsys.readouterr().err


def region(key, x, size=(100, 80), rotation=0, kind="rectanglelabels"):
    return {"id": key, "type": kind, "from_name": "label", "to_name": "image", "original_width": size[0],
            "original_height": size[1], "value": {"x": x, "y": 10, "width": 20, "height": 20, "rotation": rotation,
                                                  kind: ["drone"]}}  # fmt: skip


def tasks(*results):
    return json.dumps([{"id": 1, "data": {"image": "a.png"}, "annotations": [{"id": 1, "result": list(results)}]}])


def test_label_studio_regions_of_one_id_and_turned_ones(complaint):
    """A rectangle and its labels may be two results of one id; two rectangles at two places are two."""
    bare = {**region("r", 10, kind="rectangle"), "type": "rectangle"}
    assert taken(tasks(bare, region("r", 10)))[0] == {"drone": [[10, 8, 20, 16]]}
    assert taken(tasks(region("r", 10), region("r", 50)), folder="two")[0] == {"drone": [[10, 8, 20, 16],
                                                                                         [50, 8, 20, 16]]}  # fmt: skip
    boxes, said = taken(tasks(region("r", 50, rotation=90)), folder="turned")
    assert boxes == {"drone": [[34, 8, 16, 20]]}
    assert "1 boxes drawn round polygons, ellipses or turned boxes" in said
    Path("s.json").write_text(tasks(region("a", 10), region("b", 10, size=(200, 160))))
    said = complaint(read, "source=s.json", "images=images", "run_dir=sizes")
    assert "field 'result b': is no region that can be read (drawn on an image of another size" in said


def test_cvat_shapes_outside_of_the_image_are_left_out():
    box = '<box label="drone" xtl="1" ytl="2" xbr="31" ybr="42" outside="{}"/>'
    inner = box.format(0) + box.format(1).replace('"1"', '"9"', 1)
    text = (
        f'<annotations><version>1.1</version><image name="a.png" width="100" height="80">{inner}</image></annotations>'
    )
    boxes, said = taken(text, "a.xml")
    assert boxes == BOX
    assert "1 shapes left out: CVAT marks them as outside of the image" in said


def tree(*lines, end="\n", yaml="", names="[drone, jet]"):
    for number, text in enumerate(lines):
        write_image(f"tree/images/train/{'ab'[number]}.png", np.full((80, 100, 3), 90, np.uint8))
        Path("tree/labels/train").mkdir(parents=True, exist_ok=True)
        Path(f"tree/labels/train/{'ab'[number]}.txt").write_bytes((text + end).encode())
    Path("tree/data.yaml").write_text(f"path: .\ntrain: images/train\nval: images/train\nnames: {names}\n{yaml}")


def test_yolo_lines_with_blanks_returns_and_a_mark_before_them():
    tree("\ufeff\r\n0.0 0.16 0.275 0.3 0.5\r\n\r\n", end=" \r\n")
    Path("tree/labels/train/gone.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    Path("tree/images/test").mkdir()
    Path("tree/data.yaml").write_text(Path("tree/data.yaml").read_text() + "test: images/test\n")
    boxes, said = taken(None, "tree")
    assert boxes == BOX
    assert "1 label files have no image, first tree/labels/train/gone.txt" in said
    assert "0 images in part test, which is left out" in said
    Path("tree/images/test").rmdir()  # as Roboflow's YAML names it, whether there is one or not
    assert "1 part test is left out: its folder is not there" in taken(None, "tree", folder="again")[1]


@pytest.mark.parametrize(("lines", "more", "message"), [
    (["0 0.2 0.2 0.9 0.9", "0 0.3 0.1 0.8 0.7"], {}, "all look like class left top right bottom; " + ANYWAY),
    (["0 0.5 0.5 0.2 0.2 0.93"], {}, "6 words, neither class x_centre"),
    (["0 0.5 0.5 0.2 0.2"], {"yaml": "nc: 3\n"}, "field 'nc': 3 classes, but 'names' has 2"),
    (["0 0.5 0.5 0.2 0.2 0.4 0.4"], {"yaml": "kpt_shape: [1, 2]\n"}, "field 'kpt_shape': its labels have keypoints"),
    (["2 0.5 0.5 0.2 0.2"], {}, "field 'class': 2 is not among the names"),
])  # fmt: skip
def test_yolo_that_is_not_what_it_says(lines, more, message, complaint):
    tree(*lines, **more)
    assert message in complaint(read, "source=tree", "run_dir=out")


def test_yolo_without_any_image(complaint):
    Path("tree").mkdir()
    tree()
    Path("tree").mkdir(exist_ok=True)
    Path("tree/images/train").mkdir(parents=True, exist_ok=True)
    assert "field 'train': names no part with images" in complaint(read, "source=tree", "run_dir=out")
