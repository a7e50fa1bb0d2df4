"""What a reader is given: a file or folder whose content is parsed once, and how it is to be read."""

import json
import zipfile
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import read_text

PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # how pickles of protocols 2 to 5 begin


class Names(Enum):
    """What becomes of the names of images: they stay, or only what follows their last folder does."""

    keep = "keep"
    base = "base"


class Corners(Enum):
    """Where a Pascal VOC box's corners are counted from."""

    auto = "auto"
    one_based = "one_based"
    zero_based = "zero_based"


@dataclass
class PartConfig:
    """What every command takes that reads labels of any form."""

    part: str | None = None  # of labels that come in parts: train, val, test, ...; null: they are in one part


@dataclass(frozen=True)
class Source:
    """A file or folder, and how to read it; frozen, so that what is cached stays true.

    captions: where they come from: `auto`, `caption`, `attributes.NAME` or `category`. images: the folder of the
    images, where it is known.
    """

    path: Path
    captions: str = "auto"
    images: Path | None = None
    names: Names = Names.keep
    corners: Corners = Corners.auto

    @cached_property
    def value(self) -> Any:
        """The file's JSON value, None for a folder and for anything that is no single JSON value."""
        return json_value(self.path)

    @cached_property
    def rows(self) -> list[Any]:
        """The entries of a JSON list or of JSON Lines, empty for anything else."""
        if isinstance(self.value, list):
            return self.value
        if self.value is not None and not isinstance(self.value, dict):
            return []
        if not self.is_text():
            return []
        try:
            return [json.loads(line) for line in read_text(self.path).splitlines() if line.strip()]
        except (json.JSONDecodeError, RecursionError):
            return []

    def objects(self, key: str) -> list[dict[str, Any]]:
        """The list of objects under a key of the file's object; InputError when there is none."""
        return objects(self.value, key, self.path)

    def is_text(self) -> bool:
        """Whether this is a file that begins as JSON does."""
        return _begins_as_json(self.path)

    def is_pickle(self) -> bool:
        """Whether the file is a pickle, by its first bytes or by its name where it is of the oldest kind."""
        if not self.path.is_file():
            return False
        with open(self.path, "rb") as stream:
            return stream.read(2) in PICKLES or self.path.suffix.lower() in {".p", ".pkl", ".pickle"}

    def is_archive(self) -> bool:
        """Whether the file is a zip archive, as label tools hand out their exports."""
        return self.path.is_file() and zipfile.is_zipfile(self.path)


def json_value(path: Path) -> Any:
    """The one JSON value that a file holds; None for a folder and for any other file."""
    if not _begins_as_json(path):
        return None
    try:
        return json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError):
        return None


def objects(value: Any, key: str, path: Path) -> list[dict[str, Any]]:
    """The list of objects under a key of a JSON object; InputError when there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise InputError(f"{path}: field '{key}': not a list of objects")
    return found


def _begins_as_json(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        return stream.read(256).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}
