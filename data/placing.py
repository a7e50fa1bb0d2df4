"""How a file gets into a folder we make: as a link to where it is, or as a copy."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path

from core.errors import InputError


class Place(Enum):
    """Link to the file, or copy it."""

    link = "link"
    copy = "copy"


def spare_inputs(folder: Path, made: Sequence[str], inputs: Iterable[str | Path | None]) -> None:
    """Raise InputError when a file that the run will make in its folder is one that it reads."""
    outputs = {(folder / name).resolve() for name in made}
    for path in inputs:
        if path is not None and Path(path).resolve() in outputs:
            raise InputError(f"{path}: field 'run_dir': this run would overwrite its own input; name another folder")


def put_file(source: Path, target: Path, how: Place) -> None:
    """Make `target`, and the folders above it, stand for `source`; an earlier file of that name is replaced at once.

    Raises InputError when the disk refuses.
    """
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        if how is Place.copy:
            shutil.copyfile(source, temporary)
        else:
            temporary.symlink_to(source.resolve())
        os.replace(temporary, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error


def write_plain(path: Path, data: bytes) -> None:
    """Write one of very many files whole or not at all, without waiting for the disk.

    For files whose digest is checked before they are used again. Raises InputError when the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
