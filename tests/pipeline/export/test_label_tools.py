"""An export of each label tool, as the tool writes it, from its file to a report by the first page of the handbook."""

import json
import shutil
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest

from data.captions import read_annotations
from data.sources import read_any

SIZE = (160, 96)


@pytest.fixture
def scenes(system):
    return read_annotations(system / "scenes/annotations.jsonl")


def labels(entry):
    return [(a.caption, box) for a in entry.annotations for box in a.boxes_ltwh]


def cvat(scenes, images):
    """CVAT for images 1.1: captions in a text attribute."""
    text = "<annotations><version>1.1</version><meta/>"
    for number, entry in enumerate(scenes):
        text += f'<image id="{number}" name={quoteattr(entry.image)} width="{SIZE[0]}" height="{SIZE[1]}">'
        for caption, (left, top, w, h) in labels(entry):
            text += (f'<box label="target" xtl="{left}.00" ytl="{top}.00" xbr="{left + w:.2f}" ybr="{top + h:.2f}">'
                     f'<attribute name="caption">{escape(caption)}</attribute></box>')  # fmt: skip
        text += "</image>"
    Path("annotations.xml").write_text(text + "</annotations>")
    return ["annotations.xml"]


def coco(scenes, in_attributes):
    classes = sorted({caption for entry in scenes for caption, _ in labels(entry)})
    value = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "target"}] if in_attributes else
             [{"id": n, "name": name} for n, name in enumerate(classes, 1)]}  # fmt: skip
    for number, entry in enumerate(scenes):
        value["images"].append({"id": 7 + number, "file_name": entry.image, "width": SIZE[0], "height": SIZE[1]})
        for caption, box in labels(entry):
            one = {"id": len(value["annotations"]), "image_id": 7 + number, "bbox": [float(v) for v in box],
                   "area": box[2] * box[3], "iscrowd": 0}  # fmt: skip
            value["annotations"].append(one | (
                {"category_id": 1, "attributes": {"occluded": False, "caption": caption}} if in_attributes else
                {"category_id": classes.index(caption) + 1}))  # fmt: skip
    return json.dumps(value)


def coco_cvat(scenes, images):
    """CVAT's COCO 1.0: a folder with `annotations/instances_default.json`, captions in `attributes`."""
    Path("c/annotations").mkdir(parents=True)
    Path("c/annotations/instances_default.json").write_text(coco(scenes, in_attributes=True))
    return ["c"]


def roboflow_coco(scenes, images):
    """Roboflow's COCO: a folder a part, images and labels together; the classes are the captions."""
    for part, entries in (("train", scenes[:1]), ("valid", scenes)):
        shutil.copytree(images, f"r/{part}")
        Path(f"r/{part}/_annotations.coco.json").write_text(coco(entries, in_attributes=False))
    return ["r", "part=valid"]


def voc(scenes, images):
    """Pascal VOC as Roboflow writes it: XML beside the images, corners from 1."""
    shutil.copytree(images, "v")
    for entry in scenes:
        objects = "".join(
            f"<object><name>{escape(caption)}</name><bndbox><xmin>{left + 1}</xmin><xmax>{left + w}</xmax>"
            f"<ymin>{top + 1}</ymin><ymax>{top + h}</ymax></bndbox></object>"
            for caption, (left, top, w, h) in labels(entry)
        )
        Path(f"v/{Path(entry.image).stem}.xml").write_text(
            f"<annotation><folder/><filename>{entry.image}</filename><size><width>{SIZE[0]}</width>"
            f"<height>{SIZE[1]}</height></size>{objects}</annotation>"
        )
    return ["v"]


def yolo(scenes, images):
    """Roboflow's YOLO: data.yaml beside the parts, with paths that begin with `../`."""
    classes = sorted({caption for entry in scenes for caption, _ in labels(entry)})
    for part, entries in (("train", scenes[:1]), ("valid", scenes)):
        Path(f"y/{part}/labels").mkdir(parents=True)
        Path(f"y/{part}/images").mkdir()
        for entry in entries:
            shutil.copy(images / entry.image, f"y/{part}/images")
            wide, high = SIZE
            lines = [
                f"{classes.index(caption)} {(left + w / 2) / wide:.8f} {(top + h / 2) / high:.8f} {w / wide:.8f} "
                f"{h / high:.8f}"
                for caption, (left, top, w, h) in labels(entry)
            ]
            Path(f"y/{part}/labels/{Path(entry.image).stem}.txt").write_text("\n".join(lines))
    Path("y/data.yaml").write_text(
        f"train: ../train/images\nval: ../valid/images\nnc: {len(classes)}\nnames: {json.dumps(classes)}\n"
    )
    return ["y", "part=val"]


@pytest.mark.parametrize("tool", [cvat, coco_cvat, roboflow_coco, voc, yolo])
def test_from_the_tools_file_to_a_report(tool, scenes, system, export, exported):
    from eval.coco import main as judge_boxes
    from eval.grounding import main as judge
    from eval.report import main as report

    images = system / "scenes/images"
    source, *part = tool(scenes, images)
    shutil.copytree(exported / "candidates", "candidates")
    export("run/export", f"annotations={source}", *part, "candidates=candidates")
    quiet = [f"truth={source}", *part, "tracking.mode=disabled"]
    judge([*quiet, "predictions=run/export/predictions.jsonl", "run_dir=run/grounding"])
    judge_boxes([*quiet, "detections=run/export/detections.json", "run_dir=run/coco"])
    report([*quiet, "run=run", f"images={images}", "png=false", "run_dir=run/report"])
    told = {name: json.loads(Path(f"run/{name}/metrics.json").read_text())
            for name in ("export", "grounding", "coco", "report")}  # fmt: skip
    expected = json.loads((exported / "metrics.json").read_text())
    for name in ("export", "grounding", "report"):
        assert told[name]["accuracy"] == expected["accuracy"], name
        assert told[name]["num_captions"] == sum(len(entry.annotations) for entry in scenes), name
    assert told["coco"]["num_truth"] == sum(len(entry.targets) for entry in scenes)
    assert Path("run/report/report.html").stat().st_size > 10_000
    if not part:
        read = {entry.image: set(labels(entry)) for entry in read_any(source)}
        assert read == {entry.image: set(labels(entry)) for entry in scenes}
