"""Reading and writing files so that nothing is ever half-written and every complaint names its place."""

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from core.errors import InputError

_CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def open_atomic(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` that replaces it on a clean exit, and leaves no trace on any other.

    The data is on disk before the name changes, so a kill or a full disk leaves the old file whole.
    Raises InputError when the folder cannot be written or the disk is full.
    """
    target = Path(path)
    encoding = None if "b" in mode else "utf-8"
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        with os.fdopen(handle, mode, encoding=encoding) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
        temporary = None
        _sync_folder(target.parent)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _umask() -> int:
    """The process's umask, which the system only tells by setting it; mkstemp ignores it and makes files private."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with open_atomic(path, "wb") as stream:
        stream.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write `value` to `path` as indented JSON, atomically; NaN and infinity are refused with ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file; InputError when it is missing or unreadable."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_text(path: str | os.PathLike[str]) -> str:
    """The UTF-8 text of a file without its byte order mark; InputError when it is missing, unreadable or not UTF-8."""
    try:
        return read_bytes(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value of a JSON file; InputError names the file and the line of the fault.

    A key twice in one object is a fault: Python would take the second and say nothing of the first.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=_distinct)
    except json.JSONDecodeError as error:
        raise InputError(f"{path} line {error.lineno}: not valid JSON: {error.msg}") from error
    except RecursionError as error:
        raise InputError(f"{path}: not valid JSON: nested too deeply") from error
    except ValueError as error:  # a key twice, or a whole number of thousands of digits
        raise InputError(f"{path}: not valid JSON: {_first_words(error)}") from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return value


def _first_words(error: ValueError) -> str:
    return str(error).partition(";")[0]  # of Python's own message on digits, without its advice to programmers


def read_jsonl(path: str | os.PathLike[str]) -> Iterator[tuple[int, Any]]:
    """The values of a JSON Lines file with their 1-based line numbers; blank lines are passed over.

    Raises InputError naming the file and the line, as `read_json` does.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_distinct)
        except json.JSONDecodeError as error:
            raise InputError(f"{path} line {number}: not valid JSON: {error.msg} (column {error.colno})") from error
        except RecursionError as error:
            raise InputError(f"{path} line {number}: not valid JSON: nested too deeply") from error
        except ValueError as error:
            raise InputError(f"{path} line {number}: not valid JSON: {_first_words(error)}") from error
        yield number, value


def sha256_bytes(data: bytes) -> str:
    """The hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """The hexadecimal SHA-256 of a file's content, read in pieces; InputError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


@contextlib.contextmanager
def folder_lock(folder: str | os.PathLike[str], name: str = ".lock") -> Iterator[None]:
    """Hold an exclusive lock on a folder among processes; the kernel drops it when the holder dies."""
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(stream, fcntl.LOCK_UN)
