"""How cropping goes on after a kill: a journal line for every finished image, believed only by digest."""

import contextlib
import json
from collections.abc import Iterator, Sequence
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


@contextlib.contextmanager
def open_journal(folder: Path, plan: dict[str, Any]) -> Iterator[IO[str]]:
    """The journal to append to, or a new one whose first line is the plan; from here on the set is unfinished."""
    path = folder / JOURNAL
    going_on = path.is_file() and _plan_of(path) == plan
    with open(path, "a" if going_on else "w", encoding="utf-8") as stream:
        stream.write("\n" if going_on else json.dumps(plan) + "\n")  # a kill may have left half a line
        stream.flush()
        (folder / SET).unlink(missing_ok=True)
        yield stream


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


@dataclass(frozen=True)
class Source:
    """A picture to cut: its name in the annotation file, its file, the names of its crops."""

    image: str
    path: Path
    crops: list[str]


def complete_set(folder: Path, sources: Sequence[Source], plan: dict[str, Any]) -> dict[str, Done]:
    """The images of a finished set of the same plan over the same pictures; empty otherwise."""
    if not (folder / SET).is_file():
        return {}
    record = read_json(folder / SET)
    digests = record.get("digests", {}) if isinstance(record, dict) else {}
    made_as = {**{k: record.get(k) for k in ("format", "quality")}, "annotations": digests.get("annotations")}
    if made_as != plan:
        return {}
    sha256 = {source.image: sha256_file(source.path) for source in sources}
    if digests.get("images") != pictures_digest(sha256):
        return {}
    crops = read_digests(folder)
    return {s.image: Done(s.image, sha256[s.image], {n: crops.get(n, "") for n in s.crops}) for s in sources}


def pictures_digest(sha256: dict[str, str]) -> str:
    """One digest for many pictures: of their digests and names in order, as sha256sum prints them."""
    return sha256_bytes("".join(f"{digest}  {image}\n" for image, digest in sha256.items()).encode())


def clear_set(folder: Path, planned: Sequence[str]) -> None:
    """Remove an earlier set of another plan; InputError when a file that is not ours has a planned name."""
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
