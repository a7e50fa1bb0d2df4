"""How long work over many images goes on after a kill: a line for every finished image, believed only by digest."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from core.files import sha256_file
from core.progress import progress

JOURNAL = "journal.jsonl"
Job = TypeVar("Job")


@dataclass(frozen=True)
class Done:
    """A finished image: its name, its digest, and the digests of the files made of it by their names."""

    image: str
    sha256: str
    files: dict[str, str]
    reused: bool = False

    def still_true(self, folder: Path, sha256: str) -> bool:
        """Whether the image has the digest `sha256` as then, and every file is on disk as it was written."""
        if self.sha256 != sha256:
            return False
        paths = {folder / name: digest for name, digest in self.files.items()}
        return all(path.is_file() and sha256_file(path) == digest for path, digest in paths.items())


@contextlib.contextmanager
def open_journal(folder: Path, plan: dict[str, Any], final: str) -> Iterator[IO[str]]:
    """The journal to append to, or a new one whose first line is the plan.

    final: the file that says that the work is complete; it is removed, because from here on the work is not.
    """
    path = folder / JOURNAL
    going_on = path.is_file() and _plan_of(path) == plan
    with open(path, "a" if going_on else "w", encoding="utf-8") as stream:
        stream.write("\n" if going_on else json.dumps(plan) + "\n")  # a kill may have left half a line
        stream.flush()
        (folder / final).unlink(missing_ok=True)
        yield stream


def work_through(
    jobs: Sequence[Job], do: Callable[[Job], Done], journal: IO[str], workers: int, label: str
) -> list[Done]:
    """Do every job in threads, in order, and note each in the journal as it finishes; the first failure stops all."""
    done = []
    with ThreadPoolExecutor(workers) as pool:
        try:
            for entry in progress(pool.map(do, jobs), label, total=len(jobs)):
                journal.write(json.dumps([entry.image, entry.sha256, entry.files]) + "\n")
                journal.flush()
                done.append(entry)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return done


def read_journal(folder: Path, plan: dict[str, Any] | None = None) -> dict[str, Done]:
    """The finished images of unfinished work, of the same plan if one is given; empty when there is none.

    Half lines are passed over.
    """
    path = folder / JOURNAL
    if not path.is_file() or (plan is not None and _plan_of(path) != plan):
        return {}
    done = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        value = _value(line)
        if isinstance(value, list) and len(value) == 3:
            done[value[0]] = Done(*value)
    return done


def _plan_of(path: Path) -> Any:
    with open(path, encoding="utf-8") as stream:
        return _value(stream.readline())


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None
