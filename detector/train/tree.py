"""The YOLO tree a training reads: its parts, the shapes of its images, their labels, and a digest of all of it."""

import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import InputError
from core.files import write_text
from core.images import image_size
from core.listing import list_images
from data.formats.yolo import open_tree
from data.labels import Label, label_path, read_labels

SHOWN = 3  # further files at fault that a message names


@dataclass(frozen=True)
class Tree:
    """A data.yaml and the images it names."""

    path: Path  # the data.yaml
    names: dict[int, str]
    images: dict[str, list[Path]]  # part -> its images, absolute, in order of their paths
    labels: dict[str, list[tuple[Label, ...]]]  # part -> of each image its labels
    sizes: dict[Path, tuple[int, int]]  # (width, height) of each image as decoded

    def odd_one_out(self) -> Path | None:
        """The first training image whose shape is not the commonest one; None when all agree."""
        sizes = {p: self.sizes[p] for p in self.images["train"]}
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
        """A data.yaml whose parts are lists of these very images; `blind` adds the validation part to the training.

        Lists beside it, not the tree's folders: Ultralytics would follow links to other labels, and leave out images.
        """
        import yaml

        lists = {part: path.resolve().with_name(f"{part}_images.txt") for part in self.images}
        for part, images in self.images.items():
            write_text(lists[part], "".join(f"{image}\n" for image in images))
        train = [str(lists["train"]), *([str(lists["val"])] if blind else [])]
        value = {"train": train, "val": [str(lists["val"])], "names": self.names}
        write_text(path, yaml.safe_dump(value, sort_keys=False))
        return path.resolve()


def listed_images(places: str | Sequence[str]) -> list[str]:
    """The images of a part in order of their paths, given the lists that `Tree.write_yaml` made of it, or folders."""
    found: list[str] = []
    for place in map(Path, [places] if isinstance(places, str) else places):
        if place.is_dir():
            found += [str(place / name) for name in list_images(place).names]
        else:
            found += [line for line in place.read_text(encoding="utf-8").split("\n") if line]
    return sorted(found)


def read_tree(data: str) -> Tree:
    """The tree of a folder or a data.yaml, every label line and every image's header of it looked at.

    Raises InputError, which names the file and the line or field at fault, and how many more there are.
    """
    given = open_tree(Path(data).expanduser())
    given = replace(given, root=given.root.resolve())
    images: dict[str, list[Path]] = {}
    labels: dict[str, list[tuple[Label, ...]]] = {}
    faults: list[str] = []
    sizes: dict[Path, tuple[int, int]] = {}
    for part in ("train", "val"):
        if part not in given.parts:
            raise InputError(f"{given.path}: field '{part}': missing")
        images[part] = [Path(name) for name in sorted(str(path) for _, path in given.images(part))]
        if not images[part]:
            raise InputError(f"{given.path}: field '{part}': holds no images")
        labels[part] = [_looked_at(image, sizes, faults) for image in images[part]]
    faults = list(dict.fromkeys(faults))  # an image of both parts counts once
    if faults:
        more = "; ".join(dict.fromkeys(fault.partition(": ")[0] for fault in faults[1 : 1 + SHOWN]))
        raise InputError(faults[0] + (f" (and {len(faults) - 1} more: {more})" if more else ""))
    _require_targets(given.path, labels)
    return Tree(given.path.resolve(), given.names, images, labels, sizes)


def _looked_at(image: Path, sizes: dict[Path, tuple[int, int]], faults: list[str]) -> tuple[Label, ...]:
    """An image's labels, its size noted; what is wrong with either is one more fault."""
    try:
        if image not in sizes:
            sizes[image] = image_size(image)
        if "\n" in str(image):
            raise InputError(f"{image}: its name has a line break, which no list of images can hold")
        return read_labels(image)
    except InputError as error:
        faults.append(str(error))
        return ()


def _require_targets(path: Path, labels: dict[str, list[tuple[Label, ...]]]) -> None:
    """InputError for a training part without a box; a validation part without one is told."""
    if not any(labels["train"]):
        raise InputError(f"{path}: field 'train': none of its {len(labels['train'])} images has a label with a box")
    if not any(labels["val"]):
        print(f"{path}: field 'val': its images have no boxes, so every epoch is judged 0", file=sys.stderr)
