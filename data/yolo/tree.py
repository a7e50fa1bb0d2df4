"""YOLO trees: the folder layout that Ultralytics trains on, out of annotations.

    data.yaml                what Ultralytics is given: the parts and `names: {0: target}`
    images/train/NAME        the images, linked or copied
    labels/train/STEM.txt    one label line a target, cut to the image
    train.jsonl              the annotations with the captions and boxes that labels cannot hold
    tree.json                what the tree was made from

`data.formats.yolo` reads one back.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import write_json, write_text
from core.progress import progress
from data.captions import write_annotations
from data.frames import FramedImage
from data.labels import label_lines, label_path
from data.parts import TARGET
from data.placing import Place, put_file, write_plain

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


def write_part(tree: Path, part: str, framed: Sequence[FramedImage], how: Place, classes: Sequence[str] = ()) -> None:
    """Write one part (`train`, `val`): images, labels and its annotations.

    classes: the captions that are classes, a line a caption and target; without them there is the one class `target`.
    """
    kinds = {caption: str(number) for number, caption in enumerate(classes)}
    for entry in progress(framed, f"writing {part}"):
        if entry.path is None:
            raise ValueError(f"{entry.annotated.image}: a YOLO tree needs the image")
        image = tree / "images" / part / entry.annotated.image
        label = label_path(image)
        put_file(entry.path, image, how)
        lines = label_lines(entry.boxes_xyxy, entry.width, entry.height)
        if kinds:
            numbers = [line.partition(" ")[2] for line in lines]
            pairs = zip(entry.annotated.pairs, entry.pair_places(), strict=True)
            lines = [f"{kinds[caption]} {numbers[place]}" for (caption, _), place in pairs]
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


def finish_tree(tree: Path, has_val: bool, record: dict[str, Any], classes: Sequence[str] = ()) -> None:
    """Write `data.yaml` (paths relative to itself, so that a tree can be moved) and the record, last."""
    val = "images/val" if has_val else "images/train  # no validation file was given: these are the training images"
    names = [json.dumps(name, ensure_ascii=False) for name in classes] or [TARGET]  # quoted as JSON is YAML
    listed = "".join(f"  {number}: {name}\n" for number, name in enumerate(names))
    write_text(tree / "data.yaml", f"train: images/train\nval: {val}\nnames:\n{listed}")
    write_json(tree / MARK, {"complete": True, **record})
