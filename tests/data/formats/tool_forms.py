"""One set of labels as every label tool exports it; the images lie in `images/` of the working folder."""

import json
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from core.images import write_image
from data.captions import read_annotations

# name, size (width, height), boxes: class, caption, left, top, width, height
SET = [
    ("batch 1/a.png", (128, 96), [("drone", "the left drone", (10, 20, 30, 40)), ("drone", "a drone", (60, 2, 16, 9))]),
    ("b.png", (80, 100), [("jet", "the jet that lands", (1, 1, 79, 99))]),
    ("empty.png", (64, 64), []),
]
CLASSES = ["drone", "jet"]


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
