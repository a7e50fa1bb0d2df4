"""How cropping goes on after a kill: a journal line for every finished image, believed only by digest."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.errors import InputError
from core.files import read_json, sha256_bytes, sha256_file
from data.cropset import JOURNAL, METADATA, SET, read_digests


@dataclass(frozen=True)
class Done:
    """A finished image: its picture's digest and its crops' digests by file name."""

    image: str
    sha256: str
    crops: dict[str, str]
    reused: bool = False

    def still_true(self, folder: Path, sha256: str) -> bool:
        """Whether the picture has the digest `sha256` as then, and every crop is on disk as it was written."""
        if self.sha256 != sha256:
            return False
        paths = {folder / name: digest for name, digest in self.crops.items()}
        return all(path.is_file() and sha256_file(path) == digest for path, digest in paths.items())


def begin_journal(folder: Path, plan: dict[str, Any]) -> IO[str]:
    """Open the journal to append to, or begin a new one whose first line is the plan."""
    path = folder / JOURNAL
    if path.is_file() and _plan_of(path) == plan:
        stream = open(path, "a", encoding="utf-8")
        stream.write("\n")  # a kill may have left half a line
        return stream
    (folder / SET).unlink(missing_ok=True)  # from here on the set is unfinished
    stream = open(path, "w", encoding="utf-8")
    stream.write(json.dumps(plan) + "\n")
    stream.flush()
    return stream


def _plan_of(path: Path) -> Any:
    with open(path, encoding="utf-8") as stream:
        return _value(stream.readline())


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def read_journal(folder: Path, plan: dict[str, Any]) -> dict[str, Done]:
    """The finished images of an unfinished run of the same plan; empty when there is none. Half lines are skipped."""
    path = folder / JOURNAL
    if not path.is_file() or _plan_of(path) != plan:
        return {}
    done = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        value = _value(line)
        if isinstance(value, list) and len(value) == 3:
            done[value[0]] = Done(*value)
    return done


def complete_set(
    folder: Path, pictures: Sequence[tuple[str, Path, list[str]]], plan: dict[str, Any]
) -> dict[str, Done]:
    """The images of a finished set of the same plan over the same pictures; empty otherwise.

    pictures: image name, file, and the names of its crops.
    """
    if not (folder / SET).is_file():
        return {}
    record = read_json(folder / SET)
    digests = record.get("digests", {}) if isinstance(record, dict) else {}
    if (
        any(record.get(k) != plan[k] for k in ("format", "quality"))
        or digests.get("annotations") != plan["annotations"]
    ):
        return {}
    sha256 = {image: sha256_file(path) for image, path, _ in pictures}
    if digests.get("images") != pictures_digest(sha256):
        return {}
    crops = read_digests(folder)
    return {image: Done(image, sha256[image], {n: crops.get(n, "") for n in names}) for image, _, names in pictures}


def pictures_digest(sha256: dict[str, str]) -> str:
    """One digest for many pictures: of their digests and names in order, as sha256sum prints them."""
    return sha256_bytes("".join(f"{digest}  {image}\n" for image, digest in sha256.items()).encode())


def clear_set(folder: Path, planned: Sequence[str]) -> None:
    """Remove an earlier set of another plan from the folder; InputError when a planned name is taken by another file."""
    journal = folder / JOURNAL
    ours = journal.is_file() or (folder / SET).is_file()
    old = set(read_digests(folder)) if ours else set()
    if journal.is_file():
        values = (_value(line) for line in journal.read_text(encoding="utf-8").splitlines()[1:])
        old.update(name for value in values if isinstance(value, list) and len(value) == 3 for name in value[2])
    if ours:
        for name in (SET, METADATA, JOURNAL, *sorted(old)):
            if ".." not in name.split("/"):
                (folder / name).unlink(missing_ok=True)
        return
    taken = next((name for name in planned if (folder / name).exists()), None)
    if taken is not None:
        raise InputError(f"{folder / taken}: field 'run_dir': exists and is no crop of ours; name another folder")
