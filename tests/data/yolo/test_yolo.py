import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.images import write_image
from data.captions import read_annotations
from data.formats.yolo import read_tree
from data.labels import label_box, label_lines, parse_label
from data.split import main as split_main
from data.yolo import main


@pytest.fixture
def tree(toy) -> Path:
    split_main(["annotations=a.jsonl", "run_dir=split"])
    main(["annotations=split/train.jsonl", "val=split/val.jsonl", "images=images", "run_dir=out"])
    return toy / "out"


sides = st.integers(1, 4000)


@given(sides, sides, st.data())
@settings(max_examples=300, deadline=None)
def test_whole_boxes_come_back_as_integers(width, height, data):
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    (line,) = label_lines(np.array([[left, top, right, bottom]], np.float64), width, height)
    box = label_box(parse_label(line, "x")[1], width, height)
    assert box == (left, top, right - left, bottom - top)
    assert all(isinstance(v, int) for v in box)


@given(st.tuples(*[st.floats(0.001, 0.999)] * 4), sides, sides)
@settings(max_examples=300, deadline=None)
def test_any_label_comes_back_to_twelve_digits(numbers, width, height):
    x1, x2 = sorted(numbers[:2])
    y1, y2 = sorted(numbers[2:])
    if min((x2 - x1) * width, (y2 - y1) * height) < 1e-3:
        return
    fractions = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
    left, top, w, h = label_box(fractions, width, height)
    (line,) = label_lines(np.array([[left, top, left + w, top + h]], np.float64), width, height)
    # edges next to a whole pixel are taken for it: a millionth of a pixel at most
    assert parse_label(line, "x")[1] == pytest.approx(fractions, abs=1.1e-6 / min(width, height) + 1e-12)


def test_the_tree_is_what_ultralytics_takes(tree, monkeypatch):
    monkeypatch.setenv("YOLO_AUTOINSTALL", "false")  # it patches Pillow to look for what it may install
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    shutil.move(tree, tree.with_name("moved"))
    data = check_det_dataset("moved/data.yaml", autodownload=False)
    assert data["names"] == {0: "target"}
    expected = {a.image: a for a in read_annotations("a.jsonl")}
    seen = {}
    for part in ("train", "val"):
        dataset = YOLODataset(img_path=data[part], data=data, task="detect", imgsz=96, augment=False)
        for label in dataset.get_labels():
            height, width = label["shape"]
            boxes = label["bboxes"].astype(np.float64) * [width, height, width, height]
            boxes[:, :2] -= boxes[:, 2:] / 2
            seen[Path(label["im_file"]).name] = boxes
            assert (label["cls"] == 0).all()
    assert set(seen) == set(expected)
    for name, boxes in seen.items():
        truth = np.array([a.boxes_ltwh[0] for a in expected[name].annotations], np.float64)
        if name == "image_3.jpg":
            truth[1] = [40, 0, 20, 8]  # cut to the image
        assert np.abs(boxes - truth).max() < 1e-4


def test_the_tree_comes_back_byte_for_byte(tree):
    main(["tree=out", "run_dir=back"])
    for part in ("train", "val"):
        assert Path(f"back/{part}.jsonl").read_bytes() == Path(f"split/{part}.jsonl").read_bytes()


def test_a_changed_label_wins_over_the_record(tree):
    path = Path("out/labels/train/image_2.txt")
    lines = path.read_text().splitlines()
    left, top, width, height = 30, 16, 12, 8
    changed = f"0 {(left + width / 2) / 96} {(top + height / 2) / 64} {width / 96} {height / 64}"
    path.write_text("\n".join([lines[2], changed, lines[0]]) + "\n")
    image = read_tree(Path("out"))["train"][2]
    assert [(a.caption, a.boxes_ltwh[0]) for a in image.annotations] == [
        ("blue and white drone", (70, 40, 26, 24)), ("target", (30, 16, 12, 8)), ("red drone", (10, 12, 20, 16)),
    ]  # fmt: skip


def test_a_tree_from_elsewhere_is_read(tmp_path):
    for part, number in (("train", 2), ("val", 1)):
        for i in range(number):
            write_image(tmp_path / f"set/{part}/images/{part}{i}.png", np.zeros((50, 200, 3), np.uint8))
    (tmp_path / "set/train/labels").mkdir()
    (tmp_path / "set/train/labels/train0.txt").write_text("1 0.5 0.5 0.25 0.5\n\n0 0.1 0.2 0.05 0.1\n")
    config = {"path": "set", "train": "train/images", "val": ["val/images"], "names": ["cat", "dog"]}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(config))
    main(["tree=data.yaml", "run_dir=out"])
    assert [json.loads(line) for line in Path("out/train.jsonl").read_text().splitlines()] == [
        {"image": "train0.png", "annotations": [
            {"caption": "dog", "bbox": [75, 12.5, 50, 25]}, {"caption": "cat", "bbox": [15, 7.5, 10, 5]},
        ]},
        {"image": "train1.png", "annotations": []},
    ]  # fmt: skip
    assert Path("out/val.jsonl").read_text() == '{"image": "val0.png", "annotations": []}\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.1", "field 'bbox': 4 words"),
        ("0 0.5 0.5 0.1 0.1 0.9", "field 'bbox': 6 words"),
        ("0 0.5 x 0.1 0.1", "field 'bbox': not all numbers"),
        ("0 0.5 nan 0.1 0.1", "field 'bbox': not fractions"),
        ("0 0.5 1.5 0.1 0.1", "field 'bbox': not fractions"),
        ("0 0.5 0.5 0 0.1", "field 'bbox': not fractions"),
        ("0.5 0.5 0.5 0.1 0.1", "field 'class': '0.5'"),
        ("7 0.5 0.5 0.1 0.1", "field 'class': 7 is not among the names"),
    ],
)
def test_a_bad_label_is_named(tree, complaint, line, message):
    with Path("out/labels/val/image_9.txt").open("a") as stream:
        stream.write(f"\n{line}\n")
    said = complaint(main, "tree=out", "run_dir=back")
    assert "labels/val/image_9.txt line 5: " in said
    assert message in said


def test_images_are_linked_or_copied(tree):
    assert Path("out/images/train/image_0.jpg").is_symlink()
    main(["annotations=a.jsonl", "images=images", "place=copy", "run_dir=copied"])
    copy = Path("copied/images/train/image_0.jpg")
    assert not copy.is_symlink()
    assert copy.read_bytes() == Path("images/image_0.jpg").read_bytes()
    assert yaml.safe_load(Path("copied/data.yaml").read_text())["val"] == "images/train"
    main(["tree=copied", "run_dir=back"])
    assert Path("back/train.jsonl").read_bytes() == Path("a.jsonl").read_bytes()
    assert not Path("back/val.jsonl").exists()


def test_a_second_run_leaves_nothing_of_the_first(tree, write_jsonl, entry):
    write_jsonl(Path("b.jsonl"), [entry(1)])
    main(["annotations=b.jsonl", "images=images", "run_dir=out"])
    assert [p.name for p in Path("out/images").rglob("*.jpg")] == ["image_1.jpg"]
    assert [p.name for p in Path("out/labels").rglob("*.txt")] == ["image_1.txt"]
    assert Path("images/image_0.jpg").is_file()


def test_images_of_others_are_never_removed(toy, complaint, write_jsonl, entry):
    write_jsonl(toy / "b.jsonl", [entry(1)])
    said = complaint(main, "annotations=b.jsonl", "images=images", f"run_dir={toy}")
    assert "images: field 'run_dir': exists and is no tree of ours" in said
    assert len(list(Path("images").iterdir())) == 10


def test_images_in_subfolders_keep_their_place(toy, write_jsonl, entry):
    entries = [{**entry(0), "image": "a/images/x.jpg"}, {**entry(1), "image": "b/x.jpg"}]
    for e in entries:
        write_image(f"images/{e['image']}", np.zeros((64, 96, 3), np.uint8))
    write_jsonl(toy / "b.jsonl", entries)
    main(["annotations=b.jsonl", "images=images", "run_dir=out"])
    main(["tree=out", "run_dir=back"])
    assert Path("back/train.jsonl").read_bytes() == Path("b.jsonl").read_bytes()


def test_bad_input_is_named_before_anything_is_written(toy, complaint, write_jsonl, entry, made_files):
    entries = [entry(i) for i in range(3)]
    entries[2]["annotations"][0]["bbox"] = [10, 64, 4, 4]
    write_jsonl(toy / "b.jsonl", entries)
    said = complaint(main, "annotations=b.jsonl", "images=images", "run_dir=out")
    assert "b.jsonl line 3: field 'annotations[0].bbox': [10, 64, 4, 4] lies wholly outside" in said
    write_jsonl(toy / "b.jsonl", [entry(0), entry(77)])
    said = complaint(main, "annotations=b.jsonl", "images=images", "run_dir=out")
    assert "b.jsonl line 2: field 'image': images/image_77.jpg does not exist" in said
    write_jsonl(toy / "b.jsonl", [entry(0), entry(0, suffix=".png")])
    shutil.copy("images/image_0.jpg", "images/image_0.png")
    assert "would share one label file" in complaint(main, "annotations=b.jsonl", "images=images", "run_dir=out")
    Path("images/image_0.jpg").write_bytes(b"no image")
    said = complaint(main, "annotations=b.jsonl", "images=images", "run_dir=out")
    assert "b.jsonl line 1: field 'image': images/image_0.jpg: is not an image" in said
    assert "images: must be given" in complaint(main, "annotations=b.jsonl")
    assert "annotations: must be given" in complaint(main, "images=images")
    (toy / "data.yaml").write_text("names: [target]\n")
    assert "names no part to read" in complaint(main, "tree=data.yaml")
    assert not made_files(Path("out"))


def test_data_and_training_read_the_same_images_of_a_part(toy):
    """Folders, lists whose lines are absolute or relative to the list, and single images; what is missing is named."""
    from detector.train.tree import read_tree as training_tree

    listed = ["./images/image_0.jpg", str(toy / "images/image_1.jpg")]
    (toy / "list.txt").write_text("\n".join(listed) + "\n\n")
    config = {"train": ["list.txt", "images/image_2.jpg"], "val": "images", "names": {0: "target"}}
    (toy / "data.yaml").write_text(yaml.safe_dump(config))
    (toy / "labels").mkdir()
    (toy / "labels/image_2.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    ours, theirs = read_tree(toy / "data.yaml"), training_tree(str(toy))
    assert [a.image for a in ours["train"]] == [f"image_{i}.jpg" for i in range(3)]
    for part in ("train", "val"):
        assert [a.image for a in ours[part]] == [p.name for p in theirs.images[part]]
    (toy / "list.txt").write_text("./images/none.jpg\n")
    for read in (lambda: read_tree(toy), lambda: training_tree(str(toy))):
        with pytest.raises(InputError, match="list.txt line 1: .*none.jpg does not exist"):
            read()
