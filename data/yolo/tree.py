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

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError, reason
from core.files import read_text, write_json, write_text
from core.images import IMAGE_SUFFIXES, image_size
from core.progress import progress
from core.values import AnnotatedImage, Annotation, Box
from data.captions import place, read_annotations, write_annotations
from data.entries import merge_repeats
from data.frames import FramedImage, frame_image
from data.labels import label_box, label_lines, parse_label
from data.placing import Place, put_file, write_plain

MARK = "tree.json"
TARGET = "target"


def label_path(image: Path) -> Path:
    """Where Ultralytics looks for an image's labels: the last folder `images` of its path becomes `labels`."""
    head, found, tail = str(image).rpartition(f"{os.sep}images{os.sep}")
    if not found:
        raise InputError(f"{image}: not below a folder named images")
    return Path(f"{head}{os.sep}labels{os.sep}{tail}").with_suffix(".txt")


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


@dataclass(frozen=True)
class DataYaml:
    """What a tree's YAML says: its class names and, part by part, the folders, lists or images that make it up."""

    path: Path
    root: Path  # what relative places are relative to
    parts: dict[str, list[str]]  # of train, val and test those that are given, as written
    names: dict[int, str]

    def places(self, part: str) -> list[Path]:
        """The folders, lists or images of a part; InputError for one that does not exist."""
        places = [self.root / given for given in self.parts[part]]
        missing = next((p for p in places if not p.exists()), None)
        if missing is not None:
            raise InputError(f"{self.path}: field '{part}': {missing} does not exist")
        return places

    def images(self, part: str) -> Iterator[tuple[str, Path]]:
        """(name, path) of a part's images; a name is relative to the part's folder, and a listed image's its own.

        A list's lines are read as Ultralytics reads them: those that begin with `./` are relative to the list. Raises
        InputError for an image that does not exist.
        """
        for source in self.places(part):
            if source.is_dir():
                found = (path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
                yield from ((path.relative_to(source).as_posix(), path) for path in found)
                continue
            for path in [source] if source.suffix.lower() in IMAGE_SUFFIXES else _listed(source):
                if not path.is_file():
                    raise InputError(f"{self.path}: field '{part}': {path} does not exist")
                yield path.name, path


def _listed(source: Path) -> list[Path]:
    lines = (line.strip() for line in read_text(source).splitlines() if line.strip())
    return [source.parent / line if line.startswith("./") else Path(line) for line in lines]


def read_data_yaml(data: Path) -> DataYaml:
    """The YAML of a tree, given the tree's folder or the YAML itself; InputError names the file and the field."""
    import yaml

    path = data / "data.yaml" if data.is_dir() else data
    try:
        value = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {reason(error)}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a mapping with 'train', 'val' and 'names'")
    names = value.get("names", {0: TARGET})
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(names, dict):
        raise InputError(f"{path}: field 'names': neither a list nor a mapping of class names")
    given = {part: value[part] for part in ("train", "val", "test") if value.get(part)}
    parts = {part: [str(p) for p in (v if isinstance(v, list) else [v])] for part, v in given.items()}
    root = path.parent / str(value.get("path") or "")
    return DataYaml(path, root, parts, {int(k): str(v) for k, v in names.items()})


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
    for number, text in enumerate(read_text(path).splitlines(), start=1):
        if not text.strip():
            continue
        if pending.get(text.strip()):
            kept[pending[text.strip()].pop(0)] = number
            continue
        where = place(path, number)
        kind, fractions = parse_label(text, where)
        if kind not in names:
            raise InputError(f"{where}: field 'class': {kind} is not among the names of the tree")
        fresh.append((number, Annotation(names[kind], (label_box(fractions, width, height),))))
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
