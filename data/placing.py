"""How a file gets into a folder we make: as a link to where it is, or as a copy."""

import os
import shutil
from enum import Enum
from pathlib import Path


class Place(Enum):
    """Link to the file, or copy it."""

    link = "link"
    copy = "copy"


def put_file(source: Path, target: Path, how: Place) -> None:
    """Make `target`, and the folders above it, stand for `source`; an earlier file of that name is replaced at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    if how is Place.copy:
        shutil.copyfile(source, temporary)
    else:
        temporary.symlink_to(source.resolve())
    os.replace(temporary, target)


def write_plain(path: Path, data: bytes) -> None:
    """Write one of very many files whole or not at all, without waiting for the disk.

    For files whose digest is checked before they are used again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)
