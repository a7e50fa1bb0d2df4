"""What a reader is given: a file or folder whose content is parsed once, however many readers look at it."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import read_text

PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # how pickles of protocols 2 to 5 begin


@dataclass(frozen=True)
class Source:
    """A file or folder; frozen, so that what is cached stays true."""

    path: Path

    @cached_property
    def value(self) -> Any:
        """The file's JSON value, None for a folder and for anything that is no single JSON value."""
        if self.path.is_dir():
            return None
        try:
            return json.loads(read_text(self.path))
        except (json.JSONDecodeError, RecursionError):
            return None

    @cached_property
    def rows(self) -> list[Any]:
        """The entries of a JSON list or of JSON Lines, empty for anything else."""
        if isinstance(self.value, list):
            return self.value
        if self.value is not None and not isinstance(self.value, dict):
            return []
        if self.path.is_dir():
            return []
        try:
            return [json.loads(line) for line in read_text(self.path).splitlines() if line.strip()]
        except (json.JSONDecodeError, RecursionError):
            return []

    def objects(self, key: str) -> list[dict[str, Any]]:
        """The list of objects under a key of the file's object; InputError when there is none."""
        found = self.value.get(key) if isinstance(self.value, dict) else None
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise InputError(f"{self.path}: field '{key}': not a list of objects")
        return found

    def is_pickle(self) -> bool:
        """Whether the file is a pickle, by its first bytes or by its name where it is of the oldest kind."""
        if not self.path.is_file():
            return False
        with open(self.path, "rb") as stream:
            return stream.read(2) in PICKLES or self.path.suffix.lower() in {".p", ".pkl", ".pickle"}
