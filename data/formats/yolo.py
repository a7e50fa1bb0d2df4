"""YOLO: a folder with a data.yaml (Ultralytics, Roboflow), with obj.data (CVAT), or with classes.txt (Label Studio).

Captions are the class names. A tree of ours carries its captions beside the labels: a line that is what `train.jsonl`'s
box gives returns that box to the bit, caption and number type included; a line somebody changed is read as it stands.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.files import read_text
from core.images import image_size
from core.progress import progress
from core.texts import alike
from core.values import AnnotatedImage, Annotation, Box
from data.captions import read_annotations
from data.entries import merge_repeats
from data.formats.doubts import are_corners, doubt_corners, reaches_over
from data.formats.source import Source
from data.formats.taken import Taken
from data.frames import frame_image
from data.labels import label_box, label_lines, label_path, parse_label
from data.parts import TARGET, DataYaml, read_data_yaml

ABOUT = "YOLO: a folder with data.yaml (Ultralytics, Roboflow), obj.data (CVAT) or classes.txt (Label Studio)"
YAML = (".yaml", ".yml")
NO_LABELS = (
    "classes.txt",
    "notes.txt",
    "train.txt",
    "val.txt",
    "test.txt",
    "README.dataset.txt",
    "README.roboflow.txt",
)
PARTS = {"train": "train", "valid": "val", "val": "val", "test": "test"}


def recognises(source: Source) -> bool:
    """Whether there is a data.yaml, or what stands for one."""
    path = source.path
    if path.is_file():
        return path.suffix.lower() in YAML or path.suffix.lower() == ".data"
    return any((path / name).is_file() for name in ("obj.data", "classes.txt")) or _yaml(path) is not None


def read(source: Source) -> Taken:
    """Every part; InputError for a broken YAML and for an image that is not there, faults for labels."""
    tree = open_tree(source.path)
    taken = Taken()
    for part, places in tree.parts.items():
        if part == "test" and not any(tree.exists(place) for place in places):
            taken.note("part test is left out: its folder is not there", 1)
        elif part == "train" or places != tree.parts.get("train"):
            images = list(_read_part(tree, part, taken))
            if not images:
                taken.notes[f"images in part {part}, which is left out"] = 0
            taken.parts |= {part: images} if images else {}
    if not taken.parts:
        raise InputError(f"{source.path}: field 'train': names no part {'with images' if tree.parts else 'to read'}")
    doubt_corners(source.path, "class left top right bottom", taken)
    return taken


def read_tree(data: Path) -> dict[str, list[AnnotatedImage]]:
    """The annotations of a YOLO tree, part by part, given its folder or its YAML.

    Parts given as lists of files or as several folders are read too; a part that only repeats the training images, as
    when there was no validation file, is none. Raises InputError naming file, line and field.
    """
    taken = read(Source(data))
    if taken.faults:
        raise InputError(taken.faults[0])
    return taken.parts


def _yaml(folder: Path) -> Path | None:
    """The folder's data.yaml, or its one YAML that names parts."""
    if (folder / "data.yaml").is_file():
        return folder / "data.yaml"
    found = [path for path in sorted(folder.glob("*.y*ml")) if "train" in read_text(path)] if folder.is_dir() else []
    return found[0] if len(found) == 1 else None


def open_tree(path: Path) -> DataYaml:
    """The parts and names of a data set, whichever of the three files says them."""
    if path.is_dir():
        if (path / "obj.data").is_file():
            return _darknet(path / "obj.data")
        if _yaml(path) is None and (path / "classes.txt").is_file():
            place = "images" if (path / "images").is_dir() else "."
            return DataYaml(path / "classes.txt", path, {"annotations": [place]}, _names(path / "classes.txt"))
        return read_data_yaml(_yaml(path) or path)
    return _darknet(path) if path.suffix.lower() == ".data" else read_data_yaml(path)


def _darknet(path: Path) -> DataYaml:
    """Darknet's file of `key = value` lines, as CVAT writes it; it says `data/` of a folder that is its own."""
    pairs = (line.partition("=") for line in read_text(path).splitlines() if "=" in line)
    values = {key.strip(): value.strip() for key, _, value in pairs}
    parts = {PARTS[key]: [_beside(path, value)] for key, value in values.items() if key in PARTS}
    return DataYaml(path, path.parent, parts, _names(path.parent / _beside(path, values.get("names", "obj.names"))))


def _beside(path: Path, given: str) -> str:
    plain = given.removeprefix("data/")
    return plain if not (path.parent / given).exists() and (path.parent / plain).exists() else given


def _names(path: Path) -> dict[int, str]:
    return dict(enumerate(line.strip() for line in read_text(path).splitlines() if line.strip()))


def _read_part(tree: DataYaml, part: str, taken: Taken) -> Iterator[AnnotatedImage]:
    known = tree.root / f"{part}.jsonl"
    recorded = {a.image: a for a in read_annotations(known)} if known.is_file() else {}
    order, found = {name: i for i, name in enumerate(recorded)}, tree.images(part)
    forms = alike((name for name, _ in found), recorded)
    files = sorted(found, key=lambda p: (order.get(forms[p[0]], len(order)), p[0]))
    _note_strays(tree, part, [path for _, path in files], taken)
    for line, (name, path) in enumerate(progress(files, f"reading {part}"), start=1):
        if line == 1 and str(path).endswith(name):
            taken.folders[part] = Path(str(path).removesuffix(name) or ".")
        try:
            yield _read_labels(name, path, tree.names, recorded.get(forms[name]), line, taken)
        except InputError as error:
            taken.faults.append(str(error))


def _note_strays(tree: DataYaml, part: str, images: list[Path], taken: Taken) -> None:
    """Note label files of the part's folders that no image goes with."""
    folders = [place / "image.jpg" for place in tree.places(part) if place.is_dir()]
    labels = [folder for image in folders if (folder := label_path(image).parent).is_dir()]
    used = {label_path(image) for image in images}
    strays = [path for folder in labels for path in sorted(folder.rglob("*.txt"))
              if path not in used and path.name not in NO_LABELS]  # fmt: skip
    taken.note(f"label files have no image, first {strays[0] if strays else ''}", len(strays))


def _read_labels(
    name: str, image: Path, names: dict[int, str], recorded: AnnotatedImage | None, line: int, taken: Taken
) -> AnnotatedImage:
    """One image's annotations: the recorded one where a label still says the same, else the label's own."""
    path = label_path(image)
    if not path.is_file():  # an image without labels is a background
        return AnnotatedImage(name, (), line)
    width, height = image_size(image)
    pending: dict[str, list[Box]] = {}
    if recorded is not None and list(names.values()) == [TARGET]:  # else the classes say the captions
        framed = frame_image(path, recorded, (width, height))
        texts = label_lines(np.asarray(framed.boxes_xyxy), width, height)
        for text, target in zip(texts, recorded.targets, strict=True):
            pending.setdefault(text, []).append(target)
    kept: dict[Box, int] = {}  # recorded targets and the lines that still say them
    fresh: list[tuple[int, Annotation]] = []
    for number, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        if pending.get(text.strip()):
            kept[pending[text.strip()].pop(0)] = number
            continue
        annotation = _labelled(text, f"{path} line {number}", names, (width, height), taken)
        fresh += [(number, annotation)] if annotation is not None else []
    described = [*_still_described(recorded, kept), *fresh] if recorded is not None else fresh
    taken.origins["train.jsonl"] = taken.origins.get("train.jsonl", 0) + len(described) - len(fresh)
    annotations = [annotation for _, annotation in sorted(described, key=lambda pair: pair[0])]
    merged = merge_repeats(annotations, str(path))
    if recorded is not None:
        return replace(recorded, annotations=merged, line=line)
    return AnnotatedImage(name, merged, line)


def _labelled(text: str, where: str, names: dict[int, str], size: tuple[int, int], taken: Taken) -> Annotation | None:
    """A label line with its class name as caption; None, and a fault, for a line that cannot be used."""
    try:
        kind, fractions = parse_label(text, where)
    except InputError as error:
        taken.faults.append(str(error))
        return None
    if kind not in names:
        taken.faults.append(f"{where}: field 'class': {kind} is not among the names of the tree")
        return None
    taken.from_where("class name")
    _doubt(text.split()[1:], taken)
    taken.note("boxes drawn round polygons", int(len(text.split()) != 5))
    return Annotation(names[kind], (label_box(fractions, *size),))


def _doubt(words: list[str], taken: Taken) -> None:
    """Remember of a box as it is written, which reading cuts to its image, whether it reached over an edge."""
    if len(words) == 4:
        x, y, w, h = (float(word) for word in words)
        over = reaches_over((x - w / 2, y - h / 2, w, h), 1, 1)
        taken.doubts.append((over, are_corners((x, y, w, h), 1, 1)))


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
