"""Renaming the tensors of a safetensors file by its header alone.

A file is 8 bytes of header length (little endian), the JSON header, then the data. Names live in the header only, so a
rename lets the kernel copy the file and writes the new header, padded with spaces to the old one's length, over it.
Source: https://github.com/huggingface/safetensors, "Format".
"""

import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import open_atomic, write_bytes
from siglip.convert.keys import clean_key

MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """A checked header: `entries` by tensor name, the file's `metadata`, and the header's length in bytes."""

    entries: dict[str, dict[str, Any]]
    metadata: dict[str, str] | None
    length: int


def read_header(path: Path) -> Header:
    """Read and check a header against the file's size; InputError names what is wrong, whatever the bytes are."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as stream:
            head = stream.read(8)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise InputError(f"{path}: not a safetensors file: its header length is {length} of {size} bytes")
            raw = stream.read(length)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        value = json.loads(raw, object_pairs_hook=_unique(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: its header is not valid JSON") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: its header is not a JSON object")
    metadata = value.pop("__metadata__", None)
    if metadata is not None and not (isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())):
        raise InputError(f"{path}: field '__metadata__': not a mapping of texts")
    _check_entries(path, value, size - 8 - length)
    return Header(value, metadata, length)


def _unique(path: Path) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            raise InputError(f"{path}: its header names something twice")
        return dict(pairs)

    return build


def _check_entries(path: Path, entries: dict[str, Any], data_bytes: int) -> None:
    spans = []
    for name, entry in entries.items():
        where = f"{path}: tensor {name!r}"
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise InputError(f"{where}: needs exactly dtype, shape and data_offsets")
        bits, shape, offsets = DTYPE_BITS.get(str(entry["dtype"])), entry["shape"], entry["data_offsets"]
        if bits is None:
            raise InputError(f"{where}: unknown dtype {entry['dtype']!r}")
        if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
            raise InputError(f"{where}: shape or data_offsets are not whole numbers")
        count = 1
        for side in shape:
            count *= side
        if offsets[1] - offsets[0] != count * bits // 8:
            raise InputError(f"{where}: {offsets[1] - offsets[0]} bytes for shape {shape} of {entry['dtype']}")
        spans.append((offsets[0], offsets[1]))
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            raise InputError(f"{path}: its tensors overlap or leave a gap at byte {end} of the data")
        end = stop
    if end != data_bytes:
        raise InputError(f"{path}: its tensors take {end} bytes, the file holds {data_bytes} (truncated?)")


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in values)


def renamed_metadata(header: Header, names: dict[str, str]) -> dict[str, str] | None:
    """The file's metadata; where it remembers tied tensors that the file leaves out (`left out: kept`), renamed too."""
    if header.metadata is None:
        return None
    tied = {left for left, kept in header.metadata.items() if kept in names}
    return {clean_key(k) if k in tied else k: names[v] if k in tied else v for k, v in header.metadata.items()}


def renamed_header(header: Header, names: dict[str, str]) -> bytes:
    """The 8 length bytes and the header with new names, padded to the old length (clean names are never longer)."""
    metadata = renamed_metadata(header, names)
    value: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    value |= {names[name]: entry for name, entry in header.entries.items()}
    raw = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    length = header.length
    if len(raw) > length:  # our spacing may differ from the writer's: then the header grows, in whole words
        length = -(-len(raw) // 8) * 8
    return struct.pack("<Q", length) + raw.ljust(length)


def copy_renamed(source: Path, target: Path, names: dict[str, str]) -> None:
    """Write `target`: the new header and the data, copied by the kernel; atomic, little memory."""
    header = read_header(source)
    fresh, size = renamed_header(header, names), source.stat().st_size
    with open(source, "rb") as reader, open_atomic(target) as writer:
        if len(fresh) == 8 + header.length:  # the whole file, so that a file system which can share blocks does
            _kernel_copy(reader.fileno(), writer.fileno(), 0, size, source)
            os.pwrite(writer.fileno(), fresh, 0)
        else:
            writer.write(fresh)
            writer.flush()
            _kernel_copy(reader.fileno(), writer.fileno(), 8 + header.length, size, source)


def _kernel_copy(reader: int, writer: int, start: int, stop: int, source: Path) -> None:
    """Append bytes start..stop of the one file to the other; InputError when the source ends early."""
    while start < stop:
        try:
            sent = os.copy_file_range(reader, writer, stop - start, start)
        except OSError:  # another file system, or a kernel without it
            sent = os.sendfile(writer, reader, start, stop - start)
        if sent == 0:
            raise InputError(f"{source}: became shorter while it was copied")
        start += sent


def rename_in_place(path: Path, names: dict[str, str]) -> None:
    """Write the new header over the old one; the data is not touched.

    The new header is first kept beside the file, so that `finish_rename` can complete what a crash interrupts. Raises
    InputError for a link, behind which others may read the file, and for a header that would not fit.
    """
    if path.is_symlink():
        raise InputError(f"{path}: is a link; in_place would change the file behind it for every other user of it")
    header = read_header(path)
    fresh = renamed_header(header, names)
    if len(fresh) != 8 + header.length:
        raise InputError(f"{path}: its new header is longer than the old one; convert it with out=")
    write_bytes(_journal(path), fresh)
    finish_rename(path)


def finish_rename(path: Path) -> bool:
    """Complete a rename in place that was begun; whether there was one."""
    journal = _journal(path)
    if not journal.is_file():
        return False
    fresh = journal.read_bytes()
    with open(path, "r+b") as stream:
        os.pwrite(stream.fileno(), fresh, 0)
        os.fsync(stream.fileno())
    journal.unlink()
    return True


def refuse_unfinished(path: Path) -> None:
    """InputError when a rename in place of this file was interrupted and not completed yet."""
    if _journal(path).is_file():
        raise InputError(f"{path}: an in-place conversion was interrupted; in_place=true completes it")


def _journal(path: Path) -> Path:
    return path.with_name(f".{path.name}.new_header")
