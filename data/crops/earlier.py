"""What is left of an earlier crop set in a folder: taken over where it still holds, cleared away where it does not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import read_json, sha256_bytes, sha256_file
from data.cropset import INDEX, METADATA, SET, read_digests
from data.journal import JOURNAL, Done, read_journal


@dataclass(frozen=True)
class Source:
    """An image to cut: its name in the annotation file, its file, the names of its crops."""

    image: str
    path: Path
    crops: list[str]


def complete_set(folder: Path, sources: Sequence[Source], plan: dict[str, Any]) -> dict[str, Done]:
    """The images of a finished set of the same plan over the same images; empty otherwise."""
    if not (folder / SET).is_file():
        return {}
    record = read_json(folder / SET)
    digests = record.get("digests", {}) if isinstance(record, dict) else {}
    made_as = {**{k: record.get(k) for k in ("format", "quality")}, "annotations": digests.get("annotations")}
    if made_as != plan:
        return {}
    sha256 = {source.image: sha256_file(source.path) for source in sources}
    if digests.get("images") != digest_of_images(sha256):
        return {}
    crops = read_digests(folder)
    return {s.image: Done(s.image, sha256[s.image], {n: crops.get(n, "") for n in s.crops}) for s in sources}


def digest_of_images(sha256: dict[str, str]) -> str:
    """One digest for many images: of their digests and names in order, as sha256sum prints them."""
    return sha256_bytes("".join(f"{digest}  {image}\n" for image, digest in sha256.items()).encode())


def clear_set(folder: Path, planned: Sequence[str]) -> None:
    """Remove an earlier set of another plan; InputError when a file that is not ours has a planned name."""
    if (folder / JOURNAL).is_file() or (folder / SET).is_file():
        old = set(read_digests(folder)).union(*(done.files for done in read_journal(folder).values()))
        for name in (SET, METADATA, INDEX, JOURNAL, *sorted(old)):
            if ".." not in name.split("/"):
                (folder / name).unlink(missing_ok=True)
        return
    taken = next((name for name in planned if (folder / name).exists()), None)
    if taken is not None:
        raise InputError(f"{folder / taken}: field 'run_dir': exists and is no crop of ours; name another folder")
