"""The parts of a YOLO data set: what its data.yaml names and which images that is, for all who read or train on it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError, reason
from core.files import read_text
from core.listing import is_image, list_images
from data.labels import label_path

TARGET = "target"
LABELS = (".txt", ".cache")  # files beside images that are nobody's images: labels, and what Ultralytics keeps of them


@dataclass(frozen=True)
class DataYaml:
    """What a tree's YAML says: its class names and, part by part, the folders, lists or images that make it up."""

    path: Path
    root: Path  # what relative places are relative to
    parts: dict[str, list[str]]  # of train, val and test those that are given, as written
    names: dict[int, str]

    def exists(self, given: str) -> bool:
        """Whether a place, as written, is there."""
        return (self.root / given).exists() or (given.startswith("../") and (self.root / given[3:]).exists())

    def places(self, part: str) -> list[Path]:
        """The folders, lists or images of a part; InputError for one that does not exist.

        A `../` that leads nowhere is left out, as Ultralytics does: Roboflow writes it into data.yaml beside `train/`.
        """
        places = []
        for given in self.parts[part]:
            place = self.root / given
            if not place.exists() and given.startswith("../"):
                place = self.root / given[3:]
            if not place.exists():
                raise InputError(f"{self.path}: field '{part}': {self.root / given} does not exist")
            places.append(place)
        return places

    def images(self, part: str) -> list[tuple[str, Path]]:
        """(name, path) of a part's images, each once; what is passed over is told on standard error.

        A name is relative to the part's folder; for a list, to the folder that holds all of its images. Where two
        images would have one name, names begin at the folder that holds all of them. Raises InputError for an image
        that does not exist.
        """
        found = [pair for place in self.places(part) for pair in _images_of(place, self.root)]
        paths = dict.fromkeys(path for _, path in found)
        names = {path: name for name, path in found}
        if len(set(names.values())) < len(paths):
            names = _names_below(list(paths))
        return [(names[path], path) for path in paths]


def _images_of(place: Path, root: Path) -> Iterator[tuple[str, Path]]:
    if place.is_dir():
        listing = list_images(place)
        listing.say_passed_over(place, LABELS)
        place = _labelled(place, listing.names)
        yield from ((name, place / name) for name in listing.names)
    elif is_image(place):
        yield place.name, place
    else:
        listed = list(_listed(place, root))
        names = _names_below(listed)
        yield from ((names[path], path) for path in listed)


def _labelled(place: Path, names: tuple[str, ...]) -> Path:
    """The folder itself, or what it is a link to where only that has labels: a tree's own labels go first."""
    target = place.resolve()
    if target == place or any(label_path(place / name).is_file() for name in names):
        return place
    return target if any(label_path(target / name).is_file() for name in names) else place


def _listed(source: Path, root: Path) -> Iterator[Path]:
    """The images of a list, a path a line; InputError names the line of the first that is not there."""
    for number, line in enumerate(read_text(source).split("\n"), start=1):
        if not line.strip():
            continue
        given = Path(line.strip())
        path = next((path for path in _readings(given, source.parent, root) if path.is_file()), None)
        if path is None:
            raise InputError(f"{source} line {number}: {source.parent / given} does not exist")
        yield path


def _readings(given: Path, beside: Path, root: Path) -> Iterator[Path]:
    """Where a list's line may point, in order: from the list, from the data set's root, from here.

    CVAT writes `data/` before paths in an archive that has no such folder. The list's own folder goes before the
    working folder, so that a command reads the same wherever it is typed.
    """
    yield beside / given
    yield root / given
    yield Path.cwd() / given
    if given.parts[:1] == ("data",):
        yield beside / Path(*given.parts[1:])
        yield root / Path(*given.parts[1:])


def _names_below(paths: list[Path]) -> dict[Path, str]:
    """A name for each path: what follows the folder that all of them share."""
    absolute = {path: os.path.abspath(path) for path in paths}
    top = os.path.commonpath([os.path.dirname(path) for path in absolute.values()]) if paths else ""
    return {path: Path(os.path.relpath(full, top)).as_posix() for path, full in absolute.items()}


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
    value.setdefault("val", value.get("validation"))
    given = {part: value[part] for part in ("train", "val", "test") if value.get(part)}
    parts = {part: [str(p) for p in (v if isinstance(v, list) else [v])] for part, v in given.items()}
    root = path.parent / str(value.get("path") or "")
    return DataYaml(path, root if root.is_dir() else path.parent, parts, _names(value, path))


def _names(value: dict[str, object], path: Path) -> dict[int, str]:
    """The class names; of a YAML with their number alone `class_0`, ..., of one with neither the one `target`."""
    if value.get("kpt_shape") is not None:
        raise InputError(f"{path}: field 'kpt_shape': its labels have keypoints after each box, which would be read as "
                         "corners; leave them and this field out")  # fmt: skip
    names, number = value.get("names"), value.get("nc")
    if names is None:
        names = [f"class_{n}" for n in range(number)] if isinstance(number, int) else [TARGET]
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(names, dict) or not all(str(key).isdecimal() for key in names):
        raise InputError(f"{path}: field 'names': neither a list nor a mapping of class numbers to names")
    if isinstance(number, int) and number != len(names):
        raise InputError(f"{path}: field 'nc': {number} classes, but 'names' has {len(names)}")
    return {int(key): str(name) for key, name in names.items()}
