"""The YOLO tree a training reads: its parts, the shapes of its images, and a digest of all of it."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from core.errors import InputError, reason
from core.files import read_text, write_text
from core.images import IMAGE_SUFFIXES, image_size
from data.yolo.tree import label_path


@dataclass(frozen=True)
class Tree:
    """A data.yaml and the images it names."""

    path: Path  # the data.yaml
    parts: dict[str, list[str]]  # part -> folders or lists of images, absolute
    names: dict[int, str]

    @cached_property
    def images(self) -> dict[str, list[Path]]:
        """The images of each part, in order of their names."""
        return {part: _images(self.path, part, places) for part, places in self.parts.items()}

    def odd_one_out(self) -> Path | None:
        """The first training image whose shape is not the commonest one; None when all agree."""
        sizes = {p: image_size(p) for p in self.images["train"]}
        commonest = Counter(sizes.values()).most_common(1)[0][0]
        return next((p for p, size in sizes.items() if size != commonest), None)

    def digest(self) -> str:
        """SHA-256 over image names and sizes and the bytes of their labels."""
        digest = hashlib.sha256()
        for part, images in sorted(self.images.items()):
            for image in images:
                label = label_path(image)
                digest.update(f"{part} {image.name} {image.stat().st_size}\n".encode())
                digest.update(label.read_bytes() if label.is_file() else b"no label")
        return digest.hexdigest()

    def write_yaml(self, path: Path, blind: bool) -> Path:
        """A data.yaml with absolute paths; `blind` adds the validation part to the training part."""
        import yaml

        train = self.parts["train"] + (self.parts["val"] if blind else [])
        value = {"train": train, "val": self.parts["val"], "names": self.names}
        write_text(path, yaml.safe_dump(value, sort_keys=False))
        return path.resolve()


def read_tree(data: str) -> Tree:
    """The tree of a folder or a data.yaml; InputError names the file and the field at fault."""
    import yaml

    path = Path(data).expanduser()
    path = path / "data.yaml" if path.is_dir() else path
    try:
        value = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {reason(error)}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a mapping with 'train', 'val' and 'names'")
    root = (path.parent / str(value.get("path") or "")).resolve()
    parts = {part: _places(path, value, part, root) for part in ("train", "val")}
    names = value.get("names", {0: "target"})
    names = dict(enumerate(names)) if isinstance(names, list) else names
    tree = Tree(path.resolve(), parts, {int(k): str(v) for k, v in dict(names).items()})
    for part, images in tree.images.items():
        if not images:
            raise InputError(f"{path}: field '{part}': holds no images")
    return tree


def _places(path: Path, value: dict[str, Any], part: str, root: Path) -> list[str]:
    given = value.get(part)
    if not given:
        raise InputError(f"{path}: field '{part}': missing")
    places = [root / str(p) for p in (given if isinstance(given, list) else [given])]
    for place in places:
        if not place.exists():
            raise InputError(f"{path}: field '{part}': {place} does not exist")
    return [str(p) for p in places]


def _images(path: Path, part: str, places: list[str]) -> list[Path]:
    found: list[Path] = []
    for place in map(Path, places):
        if place.is_dir():
            found += [p for p in place.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES]
        elif place.suffix.lower() in IMAGE_SUFFIXES:
            found.append(place)
        else:
            lines = [line.strip() for line in read_text(place).splitlines() if line.strip()]
            found += [place.parent / line if line.startswith("./") else Path(line) for line in lines]
    missing = next((p for p in found if not p.is_file()), None)
    if missing is not None:
        raise InputError(f"{path}: field '{part}': {missing} does not exist")
    return sorted(found)
