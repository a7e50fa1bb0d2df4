"""Data sets as other tools leave them: which images and which labels belong to a part, the same for every reader."""

from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from core.images import write_image
from data.formats.yolo import read_tree
from data.parts import read_data_yaml

BOX, OTHER = "0 0.5 0.5 0.25 0.25\n", "0 0.2 0.2 0.1 0.1\n"
PIXELS = [36, 24, 24, 16]  # BOX in 96 x 64


def put(path: Path, label: str | None = None, labels: Path | None = None) -> None:
    """An image of 96 x 64, and its label file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.full((64, 96, 3), 60, np.uint8))
    if label is not None:
        labels = labels or Path(str(path).replace("/images/", "/labels/")).with_suffix(".txt")
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text(label)


def boxes(root: Path) -> dict[str, list[list[float]]]:
    """The training part of a tree by data.yolo's reader and by detector.train's, which must agree: name -> boxes."""
    from data.labels import target_boxes
    from detector.train.tree import read_tree as training_tree

    read = {image.image: [list(box) for box in image.targets] for image in read_tree(root)["train"]}
    tree = training_tree(str(root))
    trained = {}
    for path, labels in zip(tree.images["train"], tree.labels["train"], strict=True):
        x, y, w, h = (target_boxes(labels) * [96, 64, 96, 64]).T
        trained[path.name] = np.stack([x - w / 2, y - h / 2, w, h], 1).tolist()
    assert {Path(name).name for name in read} == set(trained)
    for name, found in read.items():
        assert np.allclose(sorted(found), sorted(trained[Path(name).name]), atol=1e-4)
    return read


def yaml(root: Path, train: str = "images/train", more: str = "names: [drone]\n") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "data.yaml").write_text(f"train: {train}\nval: {train}\n{more}")
    return root


def test_a_roboflow_export_whose_paths_lead_one_folder_too_high(tmp_path):
    for n in range(3):
        put(tmp_path / f"train/images/{n}.jpg", BOX)
    assert boxes(yaml(tmp_path, "../train/images")) == {f"{n}.jpg": [PIXELS] for n in range(3)}


def test_labels_beside_images_polygons_and_boxes_in_one_file_and_roundings(tmp_path):
    put(tmp_path / "dark/obj/d.jpg", BOX, tmp_path / "dark/obj/d.txt")
    assert boxes(yaml(tmp_path / "dark", "obj")) == {"d.jpg": [PIXELS]}
    polygon = "0 0.375 0.375 0.625 0.4 0.6 0.625\n"
    put(tmp_path / "poly/images/train/p.jpg", BOX.replace("0.25 0.25", "0.5 0.5") + polygon)
    assert boxes(yaml(tmp_path / "poly")) == {"p.jpg": [[24, 16, 48, 32], PIXELS]}
    put(tmp_path / "edge/images/train/e.jpg", "0 0.5 0.5 1.0000001 1.0\n0 -0.0000001 0.5 0.5 0.5\n")
    assert boxes(yaml(tmp_path / "edge")) == {"e.jpg": [[0, 0, 96, 64], [0, 16, pytest.approx(24, abs=1e-4), 32]]}


def test_a_linked_folder_is_read_with_the_trees_own_labels_else_with_its_targets(tmp_path):
    for name in ("own", "pool"):
        root = tmp_path / name
        put(root / "store/images/all/l.jpg", OTHER)
        (root / "images").mkdir()
        (root / "images/train").symlink_to((root / "store/images/all").resolve())
        if name == "own":
            (root / "labels/train").mkdir(parents=True)
            (root / "labels/train/l.txt").write_text(BOX)
    assert boxes(yaml(tmp_path / "own")) == {"l.jpg": [PIXELS]}
    assert boxes(yaml(tmp_path / "pool")) == {"l.jpg": [pytest.approx([14.4, 9.6, 9.6, 6.4])]}


def test_linked_subfolders_other_suffixes_and_hidden_files(tmp_path, capfd):
    put(tmp_path / "images/train/a.jpg", BOX)
    put(tmp_path / "store/b.png")
    (tmp_path / "images/train/more").symlink_to((tmp_path / "store").resolve())
    (tmp_path / "store/again").symlink_to((tmp_path / "images/train").resolve())  # a circle
    put(tmp_path / "labels/unused/x.png", BOX, tmp_path / "labels/train/more/b.txt")
    for suffix in (".jfif", ".mpo", ".AVIF", ".gif", ".jp2"):
        source = tmp_path / "images/train" / f"f{suffix}"
        from PIL import Image

        form = {".jfif": "JPEG", ".mpo": "JPEG", ".AVIF": "AVIF", ".gif": "GIF", ".jp2": "JPEG2000"}[suffix]
        Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(source, form)
    (tmp_path / "images/train/._a.jpg").write_bytes(b"left by another system")
    (tmp_path / "images/train/raw.heic").write_bytes(b"not decoded here")
    (tmp_path / "images/train/gone.jpg").symlink_to("nowhere.jpg")
    found = boxes(yaml(tmp_path))
    assert sorted(found) == ["a.jpg", "f.AVIF", "f.gif", "f.jfif", "f.jp2", "f.mpo", "more/b.png"]
    assert found["a.jpg"] == found["more/b.png"] == [PIXELS]
    said = capfd.readouterr().err
    assert "passed over 4 files (" in said  # the circle, the one that is not decoded, the one that is not there, hidden
    assert all(name in said for name in ("1 hidden", "1 .heic", "1 .jpg", "gone.jpg", "raw.heic"))


@pytest.mark.parametrize("line", ["./images/t{}.jpg", "images/t{}.jpg", "data/images/t{}.jpg"])
def test_lists_are_read_from_their_own_folder_wherever_one_works(line, tmp_path, monkeypatch):
    """CVAT's lists say data/images/... in an archive that has images/...; a bare path is not the working folder's."""
    root, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    for n in range(3):
        put(root / f"images/t{n}.jpg", BOX)
        put(elsewhere / f"images/t{n}.jpg", OTHER)
    (root / "train.txt").write_text("".join(line.format(n) + "\n" for n in range(3)))
    yaml(root, "train.txt", "names:\n  0: drone\npath: ./\n")
    monkeypatch.chdir(elsewhere)
    assert boxes(root) == {f"t{n}.jpg": [PIXELS] for n in range(3)}


def test_a_listed_image_that_is_not_there_is_named_by_its_line(tmp_path):
    put(tmp_path / "images/t0.jpg", BOX)
    (tmp_path / "train.txt").write_text("./images/t0.jpg\n\n./images/renamed.jpg\n")
    yaml(tmp_path, "train.txt")
    for read in (read_tree, lambda root: boxes(root)):
        with pytest.raises(InputError, match=r"train.txt line 3: .*images/renamed.jpg does not exist"):
            read(tmp_path)


def test_names_stay_apart_and_sets_without_names_have_numbered_classes(tmp_path):
    for folder in ("one", "two"):
        put(tmp_path / f"images/{folder}/a.jpg", BOX)
    yaml(tmp_path, "[images/one, images/two]", "nc: 2\n")
    found = read_tree(tmp_path)["train"]
    assert [image.image for image in found] == ["one/a.jpg", "two/a.jpg"]
    assert {a.caption for image in found for a in image.annotations} == {"class_0"}
    assert read_data_yaml(tmp_path).names == {0: "class_0", 1: "class_1"}


def test_a_bad_label_ends_both_readers_by_file_and_line(tmp_path):
    for n in range(4):
        put(tmp_path / f"images/train/o{n}.jpg", BOX if n % 2 else BOX + "0 0.5 1.2 0.1 0.1\n")
    yaml(tmp_path)
    for read in (read_tree, lambda root: boxes(root)):
        with pytest.raises(InputError, match=r"labels/train/o0.txt line 2: field 'bbox': not fractions"):
            read(tmp_path)
    from detector.train.tree import read_tree as training_tree

    with pytest.raises(InputError, match=r"and 1 more: .*o2.txt line 2"):
        training_tree(str(tmp_path))
    (tmp_path / "images/train/o1.jpg").write_bytes((tmp_path / "images/train/o1.jpg").read_bytes()[:100])
    for label in (tmp_path / "labels/train").iterdir():
        label.write_text(BOX)
    with pytest.raises(InputError, match=r"o1.jpg: is not an image in a known format$"):
        training_tree(str(tmp_path))


def test_a_part_without_a_box_is_refused_or_told(tmp_path, capfd):
    from detector.train.tree import read_tree as training_tree

    put(tmp_path / "images/train/a.jpg")
    with pytest.raises(InputError, match="field 'train': none of its 1 images has a label with a box"):
        training_tree(str(yaml(tmp_path)))
    put(tmp_path / "images/more/b.jpg", BOX)
    (tmp_path / "data.yaml").write_text("train: images/more\nval: images/train\nnames: [drone]\n")
    training_tree(str(tmp_path))
    assert "field 'val': its images have no boxes" in capfd.readouterr().err


def test_brackets_blanks_and_letters_beyond_ascii(tmp_path):
    root = tmp_path / "set [v1] (é ü)"
    put(root / "images/train/p 1.jpg", BOX)
    assert boxes(yaml(root)) == {"p 1.jpg": [PIXELS]}


def test_a_folder_with_obj_data_is_trained_on_as_it_is_read(tmp_path):
    """CVAT's YOLO 1.1: paths begin with data/, which is no folder of the archive."""
    for n in range(3):
        put(tmp_path / f"obj_train_data/d{n}.jpg", BOX, tmp_path / f"obj_train_data/d{n}.txt")
    (tmp_path / "obj.names").write_text("drone\n")
    (tmp_path / "train.txt").write_text("".join(f"data/obj_train_data/d{n}.jpg\n" for n in range(3)))
    lines = ("classes = 1", "train = data/train.txt", "valid = data/train.txt", "names = data/obj.names")
    (tmp_path / "obj.data").write_text("".join(f"{line}\n" for line in lines))
    assert boxes(tmp_path) == {f"d{n}.jpg": [PIXELS] for n in range(3)}
