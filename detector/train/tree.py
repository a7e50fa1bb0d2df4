"""The YOLO tree a training reads: its parts, the shapes of its images, and a digest of all of it."""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import InputError
from core.files import write_text
from core.images import image_size
from data.yolo.tree import label_path, read_data_yaml


@dataclass(frozen=True)
class Tree:
    """A data.yaml and the images it names."""

    path: Path  # the data.yaml
    parts: dict[str, list[str]]  # part -> folders or lists of images, absolute
    names: dict[int, str]
    images: dict[str, list[Path]]  # part -> its images, in order of their paths

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
    given = read_data_yaml(Path(data).expanduser())
    given = replace(given, root=given.root.resolve())
    parts: dict[str, list[str]] = {}
    images: dict[str, list[Path]] = {}
    for part in ("train", "val"):
        if part not in given.parts:
            raise InputError(f"{given.path}: field '{part}': missing")
        parts[part] = [str(place) for place in given.places(part)]
        images[part] = sorted(path for _, path in given.images(part))
        if not images[part]:
            raise InputError(f"{given.path}: field '{part}': holds no images")
    return Tree(given.path.resolve(), parts, given.names, images)
