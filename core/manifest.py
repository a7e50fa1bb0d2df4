"""A checkpoint counts only when its manifest, written last, verifies."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import read_json, sha256_file, write_text

MANIFEST = "manifest.json"


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST and not p.name.endswith(".tmp"))


def write_manifest(folder: str | os.PathLike[str]) -> None:
    """Write `manifest.json`: the size and SHA-256 of every other file of `folder`, after all are on disk."""
    folder = Path(folder)
    entries = {}
    for path in _files(folder):
        _sync(path)
        entries[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    write_text(folder / MANIFEST, _text(entries))


def _text(entries: dict[str, Any]) -> str:
    return json.dumps({"files": entries}, indent=2, ensure_ascii=False) + "\n"


def _sync(path: Path) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def verify_manifest(folder: str | os.PathLike[str]) -> None:
    """Check every file of `folder` against its manifest; InputError names the first that is missing or changed."""
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder / MANIFEST}: missing, so the checkpoint was never completed")
    listed = read_json(folder / MANIFEST)
    entries = listed.get("files") if isinstance(listed, dict) else None
    if not isinstance(entries, dict):
        raise InputError(f"{folder / MANIFEST}: field 'files': not a mapping of file names")
    if _text(entries).encode() != (folder / MANIFEST).read_bytes():
        raise InputError(f"{folder / MANIFEST}: is not the text that was written")
    for name, entry in entries.items():
        path = folder / name
        if not isinstance(entry, dict) or not {"bytes", "sha256"} <= set(entry):
            raise InputError(f"{folder / MANIFEST}: field 'files.{name}': needs 'bytes' and 'sha256'")
        if not path.is_file():
            raise InputError(f"{path}: missing, though the manifest lists it")
        if path.stat().st_size != entry["bytes"]:
            raise InputError(f"{path}: {path.stat().st_size} bytes, the manifest says {entry['bytes']}")
        if sha256_file(path) != entry["sha256"]:
            raise InputError(f"{path}: its content differs from the manifest's sha256")


def latest_verified(folders: Iterable[str | os.PathLike[str]]) -> tuple[Path | None, list[str]]:
    """The last of `folders` (given oldest first) whose manifest verifies, and one line for each one passed over."""
    complaints: list[str] = []
    for folder in reversed([Path(f) for f in folders]):
        try:
            verify_manifest(folder)
        except InputError as error:
            complaints.append(str(error))
        else:
            return folder, complaints
    return None, complaints
