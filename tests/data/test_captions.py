import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import InputError
from data.captions import read_annotations, read_captions, write_annotations
from data.read import main as read_main
from data.split import main as split_main

ENTRY = {"image": "a.jpg", "annotations": [{"caption": "red drone", "bbox": [1, 2, 3, 4]}]}


def test_the_file_comes_back_byte_for_byte(tmp_path):
    text = (
        '{"image": "image_0.jpg", "annotations": [{"caption": "grey missile", "bbox": [912, 164.0, 48.5, 152]}]}\n'
        '{"image": "sub/b.png", "annotations": []}\n'
        '{"image": "c.jpg", "annotations": [{"caption": "naïve, “quoted”", "bbox": [184, -4, 92, 1e-07]}, '
        '{"caption": "b", "bbox": [0, 0, 1, 1]}]}\n'
    ).replace("-4, 92, 1e-07", "-4, 92, 4.5")
    (tmp_path / "a.jsonl").write_text(text, encoding="utf-8")
    images = read_annotations(tmp_path / "a.jsonl")
    write_annotations(tmp_path / "b.jsonl", images)
    assert (tmp_path / "b.jsonl").read_text(encoding="utf-8") == text
    assert [type(v) for v in images[0].annotations[0].boxes_ltwh[0]] == [int, float, float, int]
    assert images[2].annotations[0].boxes_ltwh[0] == (184, -4, 92, 4.5)


def test_the_real_file_comes_back_byte_for_byte(reference_dir, tmp_path):
    source = reference_dir / "til24" / "vlm.jsonl"
    images = read_annotations(source)
    assert len(images) == 5107
    assert sum(len(i.annotations) for i in images) == 27_913
    assert len({a.caption for i in images for a in i.annotations}) == 126
    assert {v % 4 for i in images for a in i.annotations for v in a.boxes_ltwh[0]} == {0}
    over = [(i.line, i.image) for i in images for a in i.annotations if min(a.boxes_ltwh[0][:2]) < 0]
    assert over == [(1450, "image_1449.jpg")]
    write_annotations(tmp_path / "again.jsonl", images)
    assert (tmp_path / "again.jsonl").read_bytes() == source.read_bytes()


def test_blank_lines_count_as_lines_and_unknown_fields_are_passed_over(tmp_path):
    extra = {**ENTRY, "image": "b.jpg", "source": "x", "annotations": [{**ENTRY["annotations"][0], "id": 7}]}
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(ENTRY)}\n\n  \n{json.dumps(extra)}\n")
    assert [image.line for image in read_annotations(tmp_path / "a.jsonl")] == [1, 4]


def test_a_json_list_is_the_same_as_lines(tmp_path):
    entries = [{**ENTRY, "image": f"{i}.jpg"} for i in range(3)]
    (tmp_path / "a.json").write_text(json.dumps(entries, indent=1))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    assert read_annotations(tmp_path / "a.json") == read_annotations(tmp_path / "a.jsonl")


def test_captions_may_come_without_boxes(tmp_path):
    entries = [
        {"image": "a.jpg", "annotations": [{"caption": "x"}, {"caption": "y", "bbox": None}]},
        {**ENTRY, "image": "b"},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    first, second = read_captions(tmp_path / "a.jsonl")
    assert (first.captions, first.boxes_ltwh) == (("x", "y"), (None, None))
    assert second.boxes_ltwh == (((1, 2, 3, 4),),)
    with pytest.raises(InputError, match=r"line 1: field 'annotations\[0\].bbox': missing"):
        read_annotations(tmp_path / "a.jsonl")


FORMS = (
    '{"image": "a.jpg", "annotations": [{"caption": "x", "boxes": [[1, 2, 3, 4], [5, 6, 7, 8]]}, '
    '{"caption": "nothing", "boxes": []}, {"caption": "y", "bbox": [1, 2, 3, 4], "id": "7"}, '
    '{"caption": "y", "bbox": [9, 9, 3, 4], "id": "8"}]}\n'
)


def test_several_none_and_ids_come_back_byte_for_byte(tmp_path):
    (tmp_path / "a.jsonl").write_text(FORMS)
    (image,) = read_annotations(tmp_path / "a.jsonl")
    assert [(a.caption, len(a.boxes_ltwh), a.id) for a in image.annotations] == [
        ("x", 2, None), ("nothing", 0, None), ("y", 1, "7"), ("y", 1, "8")]  # fmt: skip
    assert image.targets == ((1, 2, 3, 4), (5, 6, 7, 8), (9, 9, 3, 4))
    assert [caption for caption, _ in image.pairs] == ["x", "x", "y", "y"]
    write_annotations(tmp_path / "b.jsonl", [image])
    assert (tmp_path / "b.jsonl").read_text() == FORMS
    (asked,) = read_captions(tmp_path / "a.jsonl")
    assert (asked.captions, asked.ids) == (("x", "nothing", "y", "y"), (None, None, "7", "8"))
    assert [b if b is None else len(b) for b in asked.boxes_ltwh] == [2, 0, 1, 1]


def test_a_repeated_caption_is_one_with_several_boxes_and_equal_boxes_are_one_target(tmp_path):
    entries = [("drone", [1, 2, 3, 4]), ("jet", [1, 2.0, 3, 4]), ("drone", [5, 6, 7, 8]), ("drone", [1, 2, 3, 4])]
    value = {"image": "a.jpg", "annotations": [{"caption": c, "bbox": b} for c, b in entries]}
    (tmp_path / "a.jsonl").write_text(json.dumps(value))
    (image,) = read_annotations(tmp_path / "a.jsonl")
    assert [(a.caption, a.boxes_ltwh) for a in image.annotations] == [
        ("drone", ((1, 2, 3, 4), (5, 6, 7, 8))), ("jet", ((1, 2, 3, 4),))]  # fmt: skip
    assert image.targets == ((1, 2, 3, 4), (5, 6, 7, 8))
    assert read_captions(tmp_path / "a.jsonl")[0].captions == ("drone", "jet")


def with_entries(*entries: dict) -> str:
    return json.dumps({"image": "b.jpg", "annotations": list(entries)})


def with_box(value: str) -> str:
    boxes = ', "bbox": '.join(['{"caption": "x"', '[1, 1, 2, 2]}, {"caption": "y"', value])
    return f'{{"image": "b.jpg", "annotations": [{boxes}}}]}}'


BAD = {
    '{"image": "b.jpg", "annotations": [': "not valid JSON",
    "[1, 2]": "not an object",
    '{"annotations": []}': "field 'image': missing",
    '{"image": 7, "annotations": []}': "field 'image': not a file name but 7",
    '{"image": " ", "annotations": []}': "field 'image': not a file name",
    '{"image": "../b.jpg", "annotations": []}': "field 'image': '../b.jpg' leads out of the folder",
    '{"image": "/etc/b.jpg", "annotations": []}': "field 'image': '/etc/b.jpg' leads out of the folder",
    '{"image": "a.jpg", "annotations": []}': "field 'image': 'a.jpg' is already on line 1",
    '{"image": "b.jpg"}': "field 'annotations': missing",
    '{"image": "b.jpg", "annotations": {}}': "field 'annotations': not a list",
    '{"image": "b.jpg", "annotations": [3]}': "field 'annotations[0]': not an object",
    '{"image": "b.jpg", "annotations": [{"bbox": [1, 1, 2, 2]}]}': "field 'annotations[0].caption': missing",
    '{"image": "b.jpg", "annotations": [{"caption": "", "bbox": [1, 1, 2, 2]}]}': "field 'annotations[0].caption': not",
    '{"image": "b.jpg", "annotations": [{"caption": "x", "box": [1, 1, 2]}]}': "field 'annotations[0].bbox': missing",
    with_box("[1, 2, 3]"): "field 'annotations[1].bbox': not four numbers but [1, 2, 3]",
    with_box("null"): "field 'annotations[1].bbox': not four numbers but null",
    with_box('["1", 2, 3, 4]'): "field 'annotations[1].bbox': not four finite numbers",
    with_box("[true, 2, 3, 4]"): "field 'annotations[1].bbox': not four finite numbers",
    with_box("[NaN, 2, 3, 4]"): "field 'annotations[1].bbox': not four finite numbers",
    with_box("[1, Infinity, 3, 4]"): "field 'annotations[1].bbox': not four finite numbers",
    with_box("[1, 2, 1e999, 4]"): "field 'annotations[1].bbox': not four finite numbers",
    with_box(f"[1, 2, {10**400}, 4]"): "field 'annotations[1].bbox': not four finite numbers",
    with_box("[1, 2, 0, 4]"): "field 'annotations[1].bbox': [1, 2, 0, 4] has no area",
    with_box("[1, 2, 3, -4]"): "field 'annotations[1].bbox': [1, 2, 3, -4] has no area",
    with_box("[-3, 2, 3, 4]"): "field 'annotations[1].bbox': [-3, 2, 3, 4] lies wholly outside the image",
    with_box("[3, -4, 3, 4]"): "field 'annotations[1].bbox': [3, -4, 3, 4] lies wholly outside the image",
    with_entries(
        {"caption": "x", "bbox": [1, 1, 2, 2], "boxes": []}
    ): "field 'annotations[0].boxes': stands beside 'bbox'",
    with_entries({"caption": "x", "boxes": None}): "field 'annotations[0].boxes': not a list of boxes but null",
    with_entries(
        {"caption": "x", "boxes": [[1, 1, 2, 2], [1, 1, 2, 0]]}
    ): "field 'annotations[0].boxes[1]': [1, 1, 2, 0]",
    with_entries({"caption": "x", "boxes": [], "id": 1}, {"caption": "y", "boxes": [], "id": "1"}): (
        "field 'annotations[1].id': '1' is the id of annotations[0] already"
    ),
    with_entries({"caption": "x", "boxes": [], "id": [1]}): "field 'annotations[0].id': neither a text nor a whole",
    with_entries({"caption": "x", "boxes": []}, {"caption": "x", "bbox": [1, 1, 2, 2]}): (
        "field 'annotations[1].boxes': 'x' describes nothing by one entry and something by another"
    ),
    with_box("[-9, 2, 3, 4]"): "field 'annotations[1].bbox': [-9, 2, 3, 4] lies wholly outside the image",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_line_is_named_with_its_field_and_nothing_is_written(tmp_path, complaint, line):
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(ENTRY)}\n\n{line}\n")
    said = complaint(split_main, "annotations=a.jsonl", "val_fraction=0.5", "run_dir=out")
    assert said.startswith("data.split: a.jsonl line 3: ")
    assert BAD[line] in said
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"config.yaml", "run.json"}


@pytest.mark.parametrize("indent", [None, 2])
def test_a_bad_entry_of_a_json_list_is_named_by_its_line_and_place(tmp_path, complaint, indent):
    entries = [ENTRY, {"image": "b.jpg", "annotations": [{"caption": "x", "bbox": 1}]}]
    (tmp_path / "a.json").write_text(json.dumps(entries, indent=indent))
    rows = (tmp_path / "a.json").read_text().splitlines()
    line = max(next(i for i, row in enumerate(rows) if "b.jpg" in row), 1)  # its brace stands on the row before
    said = complaint(split_main, "annotations=a.json", "val_fraction=0.5")
    assert f"a.json line {line} (entry 2): field 'annotations[0].bbox': not four numbers but 1" in said


@pytest.mark.parametrize(
    ("content", "message"), [(b"\xff\xfe{", "is not UTF-8"), (b"[{]", "a.jsonl line 1: not valid JSON")]
)
def test_a_file_that_is_no_text_or_no_json(tmp_path, complaint, content, message):
    (tmp_path / "a.jsonl").write_bytes(content)
    assert message in complaint(split_main, "annotations=a.jsonl")


def test_a_missing_file_and_a_folder_in_its_place(tmp_path, complaint):
    assert "none.jsonl: cannot be read: No such file" in complaint(split_main, "annotations=none.jsonl")
    assert "has none of the forms that are read" in complaint(split_main, f"annotations={tmp_path}")


def test_a_coco_file_is_pointed_to_its_command(tmp_path):
    image = {"id": 1, "file_name": "a.png", "width": 9, "height": 9}
    coco = {"images": [image], "annotations": [], "categories": []}
    (tmp_path / "a.json").write_text(json.dumps(coco, indent=1))
    with pytest.raises(InputError, match="data.read source=.*a.json makes an annotation file"):
        read_annotations(tmp_path / "a.json")
    read_main(["source=a.json", "run_dir=out"])
    (entry,) = read_annotations(tmp_path / "out" / "annotations.jsonl")
    assert (entry.image, entry.annotations) == ("a.png", ())


def test_the_command_line_itself_ends_with_status_2_and_one_line(tmp_path):
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(ENTRY)}\n{with_box('[1, 2, NaN, 4]')}\n")
    words = [sys.executable, "-m", "data.split", "annotations=a.jsonl", "run_dir=out"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "a.jsonl line 2: field 'annotations[1].bbox'" in done.stderr
    assert not Path("out/train.jsonl").exists()


def test_numbers_survive_as_written(tmp_path):
    text = with_box("[0.1, 1e2, 3.0, 12345678901]")
    (tmp_path / "a.jsonl").write_text(text + "\n")
    box = read_annotations(tmp_path / "a.jsonl")[0].annotations[1].boxes_ltwh[0]
    assert box == (0.1, 100.0, 3.0, 12345678901)
    assert isinstance(box[3], int)
    assert math.copysign(1, box[2]) == 1


@pytest.mark.parametrize(("text", "fault"), [("\\ud800 jet", "half a surrogate pair"), ("red jet\\u0000", "a NUL")])
def test_what_is_no_text_is_refused_by_file_line_and_field(tmp_path, text, fault):
    path, box = tmp_path / "a.jsonl", '"bbox": [1, 2, 3, 4]'
    good = f'{{"image": "a.jpg", "annotations": [{{"caption": "x", {box}}}]}}'
    path.write_text(f'{good}\n{{"image": "b.jpg", "annotations": [{{"caption": "{text}", {box}}}]}}\n')
    for read in (read_annotations, read_captions):
        with pytest.raises(InputError, match=rf"a.jsonl.*2: field 'annotations\[0\].caption': holds {fault}"):
            read(path)
    path.write_text(f'{good}\n{{"image": "{text}", "annotations": []}}\n')
    with pytest.raises(InputError, match="2: field 'image'"):
        read_annotations(path)
