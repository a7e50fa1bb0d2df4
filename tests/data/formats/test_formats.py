"""Miniatures of public sets in their exact forms, read by content, and what is wrong with them told in one line."""

import json
import pickle
from pathlib import Path

import pytest

from data.captions import read_annotations
from data.check import main as check
from data.read import main as read

CASES = ("mdetr", "dior_rsvg", "vrsbench", "described")


def caption_entry(number, image, caption):
    return {"file_name": image, "height": 788, "width": 1400, "id": number, "original_id": number, "caption": caption,
            "dataset_name": "refdrone", "tokens_negative": [[0, len(caption)]]}  # fmt: skip


def target(number, image_id, box, category="5"):
    return {"area": box[2] * box[3], "iscrowd": 0, "image_id": image_id, "category_id": category, "id": number,
            "bbox": box, "empty": False, "tokens_positive": [[0, 9]]}  # fmt: skip


def refdrone():
    """One, several and none; captions repeat over images and within one; ids are captions', not images'."""
    nothing = {"area": 0, "iscrowd": -1, "image_id": 12, "category_id": -1, "id": 4, "bbox": [0, 0, 0, 0],
               "empty": True, "tokens_positive": []}  # fmt: skip
    return {
        "info": {},
        "licenses": [],
        "images": [
            caption_entry(10, "0000001_02999_d_0000005.jpg", "the white car"),
            caption_entry(11, "0000001_02999_d_0000005.jpg", "people on the left"),
            caption_entry(12, "0000001_02999_d_0000005.jpg", "the red bus"),
            caption_entry(20, "sub/0000002.jpg", "the white car"),
            caption_entry(21, "sub/0000002.jpg", "the white car"),
        ],
        "annotations": [
            target(1, 10, [600, 300, 39, 41]),
            target(2, 11, [10, 20, 12, 30]),
            target(3, 11, [40, 20, 12.5, 30]),
            nothing,
            target(5, 20, [1390, 5, 30, 30]),
            target(6, 21, [7, 8, 9, 10]),
        ],
        "categories": [{"id": 5, "name": "car"}],
    }


def dior(folder: Path, missing: str | None = None) -> None:
    """Three images with four objects; object 1 is of test though its image is of train."""
    (folder / "Annotations").mkdir(parents=True)
    objects = {
        "00001": [("golffield", (133, 237, 684, 672), "A green and brown golf field")],
        "00002": [("ship", (1, 2, 30, 40), "a ship"), ("ship", (50, 60, 90, 100), "a ship")],
        "00010": [("vehicle", (5, 5, 25, 15), "The vehicle on the right")],
    }
    number, parts = 0, {"train": [], "val": [], "test": []}
    for stem, found in objects.items():
        text = "".join(
            f"<object><name>{kind}</name><pose>Unspecified</pose><bndbox><xmin>{b[0]}</xmin><ymin>{b[1]}</ymin>"
            f"<xmax>{b[2]}</xmax><ymax>{b[3]}</ymax></bndbox><description>{said}</description></object>"
            for kind, b, said in found
        )
        size = "<size><width>800</width><height>800</height><depth>3</depth></size>"
        if stem != missing:
            (folder / f"Annotations/{stem}.xml").write_text(
                f'<?xml version="1.0"?><annotation><filename>{stem}.jpg</filename>{size}{text}</annotation>'
            )
        for _ in found:
            parts[["train", "test", "train", "val"][number]].append(number)
            number += 1
    for part, numbers in parts.items():
        (folder / f"{part}.txt").write_text("".join(f"{n}\n" for n in numbers))


VRS = [
    {"image_id": "P0003_0002.png", "question": "The small ship at the top", "ground_truth": "{<41><9><46><14>}",
     "unique": False, "obj_cls": "ship", "size_group": "small", "question_id": 0, "obj_corner": [0.41] * 8,
     "type": "ref", "dataset": "VRSBench"},
    {"image_id": "P0003_0002.png", "question": "The harbour", "ground_truth": "{<0><50><100><50>}", "unique": True,
     "obj_cls": "harbor", "size_group": "", "question_id": 1, "obj_corner": [0.5] * 8, "type": "ref"},
]  # fmt: skip


def source_of(case: str) -> Path:
    path = Path(f"{case}.json")
    if case == "mdetr":
        path.write_text(json.dumps(refdrone()))
    elif case == "vrsbench":
        path.write_text(json.dumps(VRS))
    elif case == "described":
        entry = {"image": "image_0.jpg", "annotations": [{"caption": "grey missile", "bbox": [912, 164, 48, 152]}]}
        path.write_text(json.dumps([entry]))
    else:
        path = Path(case)
        dior(path)
    return path


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("case", CASES)
def test_each_is_recognised_by_its_content_and_comes_back_from_the_file_written(case):
    read([f"source={source_of(case)}", "run_dir=out"])
    told = json.loads(Path("out/metrics.json").read_text())
    assert told["format"] == case
    assert told["faults"] == []
    written = sorted(p.stem for p in Path("out").glob("*.jsonl"))
    assert written == (["test", "train", "val"] if case == "dior_rsvg" else ["annotations"])
    for part in written:
        images = read_annotations(f"out/{part}.jsonl")
        assert told[f"num_{part}_images"] == len(images)
        assert told[f"num_{part}_targets"] == sum(len(image.targets) for image in images)


def test_refdrone_has_one_several_and_none_with_the_captions_own_ids(capsys):
    read([f"source={source_of('mdetr')}", "images=.", "run_dir=out"])
    first, second = read_annotations("out/annotations.jsonl")
    assert first.image == "0000001_02999_d_0000005.jpg"
    assert [(a.caption, a.id, a.boxes_ltwh) for a in first.annotations] == [
        ("the white car", "10", ((600, 300, 39, 41),)),
        ("people on the left", "11", ((10, 20, 12, 30), (40, 20, 12.5, 30))),
        ("the red bus", "12", ()),
    ]
    assert [(a.caption, a.id) for a in second.annotations] == [("the white car", "20"), ("the white car", "21")]
    out = capsys.readouterr().out
    assert "2 images are not in ., first 0000001_02999_d_0000005.jpg" in out
    assert next(line.split() for line in out.splitlines() if line.startswith("annotations")) == [
        "annotations", "2", "0", "5", "3", "1", "1", "5"]  # fmt: skip


def test_dior_rsvg_numbers_objects_over_the_sorted_files_and_its_parts_share_images():
    read([f"source={source_of('dior_rsvg')}", "run_dir=out"])
    train, test = read_annotations("out/train.jsonl"), read_annotations("out/test.jsonl")
    assert [(i.image, a.id, a.caption, a.boxes_ltwh, dict(a.tags)) for i in train for a in i.annotations] == [
        ("00001.jpg", "0", "A green and brown golf field", ((133, 237, 551, 435),), {"class": "golffield"}),
        ("00002.jpg", "2", "a ship", ((50, 60, 40, 40),), {"class": "ship"}),
    ]
    assert [(i.image, [a.id for a in i.annotations]) for i in test] == [("00002.jpg", ["1"])]
    told = json.loads(Path("out/metrics.json").read_text())
    assert list(told["notes"].values()) == [1]
    check(["annotations=out/train.jsonl", "val=out/test.jsonl", "few=1", "run_dir=check"])
    assert json.loads(Path("check/metrics.json").read_text())["leak_name"] == 1


def test_vrsbench_is_in_hundredths_of_512_pixels():
    read([f"source={source_of('vrsbench')}", "run_dir=out"])
    (image,) = read_annotations("out/annotations.jsonl")
    ship, harbour = image.annotations
    assert ship.boxes_ltwh == ((209.92, 46.08, 25.6, 25.6),)
    assert dict(ship.tags) == {"unique": "false", "class": "ship", "size": "small"}
    assert harbour.boxes_ltwh == ((0, 256, 512, 2.56),)  # no height on the grid is half a step
    Path("lines.json").write_text("".join(json.dumps(entry) + "\n" for entry in VRS))
    read(["source=lines.json", "run_dir=again"])
    assert Path("again/annotations.jsonl").read_bytes() == Path("out/annotations.jsonl").read_bytes()


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_is_refused_in_one_line_that_names_the_json_form(complaint, protocol):
    Path("refcoco").mkdir()
    Path("refcoco/refs(unc).p").write_bytes(pickle.dumps([{"ref_id": 0}], protocol))
    for source in ("refcoco", "refcoco/refs(unc).p"):
        said = complaint(read, f"source='{source}'", "run_dir=out")
        assert "refcoco/refs(unc).p: is a pickle" in said
        assert "MDETR-style JSON, such as finetune_refcoco_val.json" in said


def changed(key, number, **fields):
    value = refdrone()
    value[key][number] |= fields
    return value


FAULTS = {
    "a box without area": (changed("annotations", 0, bbox=[1, 2, 0, 4]),
                           "[0].bbox': [1, 2, 0, 4] has no area (1 fault in all, listed in out/faults.txt; "),
    "a box beyond the image": (changed("annotations", 0, bbox=[1400, 2, 9, 4]), "lies wholly outside the 1400 x 788"),
    "an unknown caption": (changed("annotations", 1, image_id=99), "field 'annotations[1].image_id': 99 is no caption"),
    "an id twice": (changed("images", 1, id=10), "field 'images.id': an id is missing or used twice"),
    "no caption": (changed("images", 1, caption=" "), "field 'images[1].caption': missing or not a text"),
    "a name that leads out": (changed("images", 0, file_name="../a.jpg"), "leads out of the folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_wrong_is_named_by_file_and_field(complaint, case):
    value, message = FAULTS[case]
    Path("a.json").write_text(json.dumps(value))
    said = complaint(read, "source=a.json", "run_dir=out")
    assert said.startswith("data.read: a.json")
    assert message in said
    assert not list(Path("out").glob("*.jsonl"))


def test_faults_can_be_skipped_and_are_counted():
    value = changed("annotations", 1, bbox=[1, 2, 0, 4])
    value["annotations"][0]["bbox"] = [0, 0, -1, 5]
    Path("a.json").write_text(json.dumps(value))
    read(["source=a.json", "faulty=skip", "run_dir=out"])
    first = read_annotations("out/annotations.jsonl")[0]
    assert [(a.id, len(a.boxes_ltwh)) for a in first.annotations] == [("11", 1), ("12", 0)]  # 10 is not made a "none"
    told = json.loads(Path("out/metrics.json").read_text())
    assert len(told["faults"]) == told["num_faults"] == 2
    assert told["notes"]["captions left out with their boxes"] == 1


def test_a_missing_xml_file_shifts_numbers_and_is_refused(complaint):
    dior(Path("d"), missing="00002")
    said = complaint(read, "source=d", "run_dir=out")
    assert "the lists name 4 objects, the last is number 3, but the XML files hold 2" in said


def test_a_source_of_no_known_form_is_told_all_forms(complaint):
    Path("a.json").write_text("{}")
    said = complaint(read, "source=a.json", "run_dir=out")
    assert all(f"{name}: " in said for name in CASES)
    Path("c.json").write_text('{"images": [],\n"annotations": [}')
    assert "c.json line 2: not valid JSON" in complaint(read, "source=c.json", "run_dir=out")
    assert "source: b.json does not exist" in complaint(read, "source=b.json", "run_dir=out")
    assert "format: 'coco2' is not one of auto, mdetr" in complaint(
        read, "source=a.json", "format=coco2", "run_dir=out"
    )
