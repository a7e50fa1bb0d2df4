"""YOLO trees: the folder layout that Ultralytics trains on, out of annotations and back.

    data.yaml                what Ultralytics is given: the parts and `names: {0: target}`
    images/train/NAME        the images, linked or copied
    labels/train/STEM.txt    one label line a target, cut to the image
    train.jsonl              the annotations with the captions and boxes that labels cannot hold
    tree.json                what the tree was made from

Reading one back, the labels are the truth: a line that is what `train.jsonl`'s box gives returns that box to the bit,
caption and number type included; a line somebody changed is read as it stands. A tree from elsewhere has no
`train.jsonl`; its captions are its class names.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.files import write_json, write_text
from core.images import image_size
from core.progress import progress
from core.values import AnnotatedImage, Annotation, Box
from data.captions import place, read_annotations, write_annotations
from data.entries import merge_repeats
from data.frames import FramedImage, frame_image
from data.labels import label_box, label_lines, label_path, read_labels
from data.placing import Place, put_file, write_plain
from data.yolo.parts import TARGET, DataYaml, read_data_yaml

MARK = "tree.json"


def prepare_tree(tree: Path) -> None:
    """Make room for a tree in a folder: an earlier tree of ours is removed, anything else refused with InputError."""
    folders = [tree / "images", tree / "labels"]
    if (tree / MARK).is_file():
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        for name in ("data.yaml", "train.jsonl", "val.jsonl"):
            (tree / name).unlink(missing_ok=True)
    taken = next((folder for folder in folders if folder.exists()), None)
    if taken is not None:
        raise InputError(f"{taken}: field 'run_dir': exists and is no tree of ours; name another folder")
    write_json(tree / MARK, {"complete": False})


def write_part(tree: Path, part: str, framed: Sequence[FramedImage], how: Place) -> None:
    """Write one part (`train`, `val`): images, labels and its annotations."""
    for entry in progress(framed, f"writing {part}"):
        if entry.path is None:
            raise ValueError(f"{entry.annotated.image}: a YOLO tree needs the image")
        image = tree / "images" / part / entry.annotated.image
        label = label_path(image)
        put_file(entry.path, image, how)
        lines = label_lines(entry.boxes_xyxy, entry.width, entry.height)
        write_plain(label, "".join(f"{line}\n" for line in lines).encode())
    (tree / "images" / part).mkdir(parents=True, exist_ok=True)
    write_annotations(tree / f"{part}.jsonl", [entry.annotated for entry in framed])


def refuse_shared_labels(part: str, framed: Sequence[FramedImage]) -> None:
    """Raise InputError for two images that differ in their suffix only: they would share one label file."""
    seen: dict[str, str] = {}
    for entry in framed:
        stem = str(Path(entry.annotated.image).with_suffix(""))
        if stem in seen:
            raise InputError(
                f"{part}: field 'image': {entry.annotated.image} and {seen[stem]} would share one label file"
            )
        seen[stem] = entry.annotated.image


def finish_tree(tree: Path, has_val: bool, record: dict[str, Any]) -> None:
    """Write `data.yaml` (paths relative to itself, so that a tree can be moved) and the record, last."""
    val = "images/val" if has_val else "images/train  # no validation file was given: these are the training images"
    write_text(tree / "data.yaml", f"train: images/train\nval: {val}\nnames:\n  0: {TARGET}\n")
    write_json(tree / MARK, {"complete": True, **record})


def read_tree(data: Path) -> dict[str, list[AnnotatedImage]]:
    """The annotations of a YOLO tree, part by part, given its folder or its YAML.

    Parts given as lists of files or as several folders are read too; a part that only repeats the training images, as
    when there was no validation file, is none. Raises InputError naming file, line and field.
    """
    tree = read_data_yaml(data)
    parts = {
        part: _read_part(tree, part)
        for part, places in tree.parts.items()
        if part == "train" or places != tree.parts.get("train")
    }
    if not parts:
        raise InputError(f"{data}: field 'train': names no part to read")
    return parts


def _read_part(tree: DataYaml, part: str) -> list[AnnotatedImage]:
    known = tree.root / f"{part}.jsonl"
    recorded = {a.image: a for a in read_annotations(known)} if known.is_file() else {}
    order = {name: i for i, name in enumerate(recorded)}
    files = sorted(tree.images(part), key=lambda p: (order.get(p[0], len(order)), p[0]))
    images = []
    for line, (name, path) in enumerate(progress(files, f"reading {part}"), start=1):
        images.append(_read_labels(name, path, tree.names, recorded.get(name), line))
    return images


def _read_labels(
    name: str, image: Path, names: dict[int, str], recorded: AnnotatedImage | None, line: int
) -> AnnotatedImage:
    """One image's annotations: the recorded one where a label still says the same, else the label's own."""
    path = label_path(image)
    if not path.is_file():  # an image without labels is a background
        return AnnotatedImage(name, (), line)
    width, height = image_size(image)
    pending: dict[str, list[Box]] = {}
    if recorded is not None:
        framed = frame_image(path, recorded, (width, height))
        texts = label_lines(np.asarray(framed.boxes_xyxy), width, height)
        for text, target in zip(texts, recorded.targets, strict=True):
            pending.setdefault(text, []).append(target)
    kept: dict[Box, int] = {}  # recorded targets and the lines that still say them
    fresh: list[tuple[int, Annotation]] = []
    for label in read_labels(image):
        if pending.get(label.text):
            kept[pending[label.text].pop(0)] = label.line
            continue
        if label.kind not in names:
            where = place(path, label.line)
            raise InputError(f"{where}: field 'class': {label.kind} is not among the names of the tree")
        fresh.append((label.line, Annotation(names[label.kind], (label_box(label.fractions, width, height),))))
    described = [*_still_described(recorded, kept), *fresh] if recorded is not None else fresh
    annotations = [annotation for _, annotation in sorted(described, key=lambda pair: pair[0])]
    return AnnotatedImage(name, merge_repeats(annotations, str(path)), line)


def _still_described(recorded: AnnotatedImage, kept: dict[Box, int]) -> Iterator[tuple[int, Annotation]]:
    """(label line, annotation) of the captions that have kept a target, and of those that never had one.

    The line is that of the first target that no earlier caption describes, else the earlier caption's.
    """
    line, seen = 0, set[Box]()
    for annotation in recorded.annotations:
        boxes = tuple(box for box in annotation.boxes_ltwh if box in kept)
        if boxes or not annotation.boxes_ltwh:
            line = min((kept[box] for box in boxes if box not in seen), default=line)
            seen.update(boxes)
            yield line, replace(annotation, boxes_ltwh=boxes)
