import json
from pathlib import Path

import numpy as np
import pytest

from data.captions import read_annotations
from data.read import main as read
from data.sources import read_any
from data.write import main


def test_pycocotools_reads_it(toy, capsys):
    from pycocotools.coco import COCO

    main(["format=coco", "annotations=a.jsonl", "images=images", "run_dir=out"])
    coco = COCO("out/coco.json")
    assert coco.getImgIds() == list(range(1, 11))
    assert coco.loadCats(coco.getCatIds())[0]["name"] == "target"
    for annotated in read_annotations("a.jsonl"):
        image = coco.loadImgs(annotated.line)[0]
        assert (image["file_name"], image["width"], image["height"]) == (annotated.image, 96, 64)
        found = coco.loadAnns(coco.getAnnIds(annotated.line))
        assert [tuple(a["bbox"]) for a in found] == [a.boxes_ltwh[0] for a in annotated.annotations]
        assert [a["area"] for a in found] == [a.boxes_ltwh[0][2] * a.boxes_ltwh[0][3] for a in annotated.annotations]
        assert [a["caption"] for a in found] == [a.caption for a in annotated.annotations]
        assert {a["iscrowd"] for a in found} == {0}
    assert json.loads(Path("out/metrics.json").read_text()) == {
        "num_images": 10,
        "num_boxes": 30,
        "num_partly_outside": 1,
    }


def test_it_comes_back_byte_for_byte(toy):
    main(["format=coco", "annotations=a.jsonl", "images=images", "run_dir=out"])
    read(["source=out/coco.json", "run_dir=back"])
    assert Path("back/annotations.jsonl").read_bytes() == Path("a.jsonl").read_bytes()
    assert read_any("out/coco.json") == read_annotations("a.jsonl")


def test_the_real_file_comes_back_byte_for_byte(reference_dir):
    source = reference_dir / "til24" / "vlm.jsonl"
    main(["format=coco", f"annotations={source}", "size=[1520,870]", "run_dir=out"])
    read(["source=out/coco.json", "run_dir=back"])
    assert Path("back/annotations.jsonl").read_bytes() == source.read_bytes()
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics == {"num_images": 5107, "num_boxes": 27_913, "num_partly_outside": 1}


def foreign() -> dict:
    return {
        "images": [{"id": 30, "file_name": "b.jpg"}, {"id": 7, "file_name": "a.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3.5, 4]},
            {"id": 2, "image_id": 30, "category_id": 1, "bbox": [0, 0, 90, 90], "iscrowd": 1},
            {"id": 3, "image_id": 7, "category_id": 1, "bbox": [5, 6, 7, 8], "caption": "a big cat"},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def test_a_file_from_elsewhere_is_read():
    Path("c.json").write_text(json.dumps(foreign()))
    first, second = read_any("c.json")
    assert (first.image, first.annotations, first.id) == ("b.jpg", (), 30)
    assert [(a.caption, a.boxes_ltwh[0]) for a in second.annotations] == [
        ("dog", (1, 2, 3.5, 4)),
        ("a big cat", (5, 6, 7, 8)),
    ]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["images"], 3, "field 'images': not a list of objects"),
        (["images", 1, "id"], 30, "field 'images.id': an id is missing or used twice"),
        (["images", 1, "file_name"], "b.jpg", "field 'images[1].file_name': 'b.jpg' is the name of an earlier image"),
        (["images", 1, "file_name"], None, "field 'images[1].file_name': not a file name"),
        (["annotations", 2, "image_id"], 8, "field 'annotations[2].image_id': 8 is no image's id"),
        (["annotations", 2, "bbox"], [1, 2, 3], "field 'annotations[2].bbox': not four numbers"),
        (["annotations", 2, "bbox"], [1, 2, 3, 0], "field 'annotations[2].bbox': [1, 2, 3, 0] has no area"),
        (["annotations", 0, "category_id"], 9, "field 'annotations[0].category_id': has not a caption"),
    ],
)
def test_what_is_wrong_with_a_coco_file_is_named(complaint, path, value, message):
    content = foreign()
    node = content
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    Path("c.json").write_text(json.dumps(content))
    said = complaint(read, "source=c.json", "run_dir=out")
    assert said.startswith("data.read: c.json")
    assert message in said
    assert not Path("out/annotations.jsonl").exists()


def test_sizes_must_come_from_somewhere(toy, complaint):
    assert "images: must be given" in complaint(main, "format=coco", "annotations=a.jsonl")
    assert "annotations: must be given" in complaint(main, "format=coco", "images=images")
    assert "size: [96] is not [width, height]" in complaint(main, "format=coco", "annotations=a.jsonl", "size=[96]")
    said = complaint(main, "format=coco", "annotations=a.jsonl", "size=[96,40]", "run_dir=out")
    assert "a.jsonl line 1: field 'annotations[2].bbox': [70, 40, 26, 24] lies wholly outside the 96 x 40" in said
    assert not Path("out/coco.json").exists()


def test_numbers_are_as_exact_as_in_the_annotations(tmp_path, write_jsonl):
    boxes = [[0.1, 1 / 3, 2.5000000000000004, 7], [1, 2, 3, 4.0]]
    e = {"image": "a.jpg", "annotations": [{"caption": "x", "bbox": b} for b in boxes]}
    write_jsonl(tmp_path / "a.jsonl", [e])
    main(["format=coco", "annotations=a.jsonl", "size=[50,50]", "run_dir=out"])
    found = [a["bbox"] for a in json.loads(Path("out/coco.json").read_text())["annotations"]]
    assert found == boxes
    assert [[type(v) for v in b] for b in found] == [[type(v) for v in b] for b in boxes]
    assert np.isfinite(found).all()
