"""Files of torch read for their tensors alone: nothing in a file is run, no package that it names is needed.

Such a file is a zip archive of a pickle and raw numbers. The pickle names classes and what builds a tensor; here the
former become empty shells that remember what belongs to them, the latter our own functions.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.archives import check_archive
from core.errors import InputError, reason

MOST_PARTS = 10_000  # of a network; a hostile file may describe one that never ends
_PLAIN = {"builtins.set": set, "builtins.dict": dict, "builtins.list": list, "builtins.tuple": tuple,
          "collections.OrderedDict": OrderedDict}  # fmt: skip
_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64", "UntypedStorage": "uint8",
}  # fmt: skip
_BYTES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1,
    "bool": 1, "complex64": 8, "uint16": 2, "uint32": 4, "uint64": 8, "float8_e4m3fn": 1, "float8_e5m2": 1,
}  # fmt: skip
# What a checkpoint has no use for and a hostile file does; nothing of it would run here, but a user should know.
_HOSTILE_ROOTS = ("os", "posix", "nt", "subprocess", "sys", "runpy", "importlib", "pty", "ctypes", "socket", "shutil")
_HOSTILE = {f"builtins.{name}" for name in ("eval", "exec", "compile", "open", "__import__", "breakpoint", "input")}


@dataclass(frozen=True)
class Stored:
    """A tensor: torch's name of its type, and its numbers as integers of as many bytes, which share their memory."""

    dtype: str
    values: NDArray[Any]


class Shell:
    """Stands for an object of any class that a file may name; does nothing but keep its state and items."""

    def __new__(cls, *args: Any, **named: Any) -> "Shell":
        """An empty one, whatever it is built with."""
        shell = object.__new__(cls)
        shell.state, shell.items = {}, {}
        return shell

    def __init__(self, *args: Any, **named: Any) -> None:
        self.state: Any
        self.items: dict[Any, Any]

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, value: Any) -> None:
        """An item of a list of a class of its own: of no use here."""

    def part(self, name: str) -> dict[str, Any]:
        """One of the dictionaries that torch keeps in a module, `_parameters` for one; empty where there is none."""
        found = self.state.get(name) if isinstance(self.state, dict) else None
        return found if isinstance(found, dict) else {}


def read_pickle(path: Path, known: Callable[[str], bool] | None = None) -> tuple[Any, list[str]]:
    """What torch saved, with `Stored` for tensors and a `Shell` for every other object, and the names of their classes.

    known: which classes, by `module.name`, may be named at all; None: any. Raises InputError for a file that is
    damaged, names another, or names what runs programs.
    """
    check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            reader = _Reader(archive, known)
            return reader.load(), sorted(reader.named)
    except Exception as error:  # a hostile or broken file may make the unpickler raise anything
        told = f"{type(error).__name__}: {reason(error)[:200]}"
        raise InputError(f"{path}: not a checkpoint that can be loaded safely: {told}") from error


def names_package(path: Path, package: str) -> bool:
    """Whether the file is an archive of torch whose pickle names a package."""
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{package}.".encode() in _content(archive, _entry(archive, "data.pkl"))
    except Exception:  # not such an archive, or a damaged one, in any of the ways zipfile knows
        return False


def is_script(path: Path) -> bool:
    """Whether the file is a TorchScript program, which holds code beside its tensors."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(entry.split("/")[1:] == ["constants.pkl"] for entry in archive.namelist())
    except Exception:  # not such an archive, or a damaged one
        return False


def network_tensors(network: Shell, path: Path) -> dict[str, Stored]:
    """Parameters and buffers of a pickled module by their full names, as its own `state_dict` would list them.

    Raises InputError for a network that never ends, and for one without tensors.
    """
    tensors, waiting, seen = dict[str, Stored](), [("", network)], 0
    while waiting:
        prefix, shell = waiting.pop()
        seen += 1
        if seen > MOST_PARTS:
            raise InputError(f"{path}: holds a network of more than {MOST_PARTS} parts")
        for name, value in _own(shell):
            if isinstance(value, Stored):
                tensors[f"{prefix}{name}"] = value
            elif isinstance(value, Shell):
                waiting.append((f"{prefix}{name}.", value))
    if not tensors:
        raise InputError(f"{path}: holds a network without tensors")
    return tensors


def _own(shell: Shell) -> Iterator[tuple[str, Any]]:
    """A module's tensors and parts by their names; those of TorchScript stand all together in its state."""
    if isinstance(shell.state, dict) and "_modules" not in shell.state:
        yield from ((str(name), value) for name, value in shell.state.items())
        return
    left_out = shell.state.get("_non_persistent_buffers_set", ()) if isinstance(shell.state, dict) else ()
    left_out = left_out if isinstance(left_out, set) else ()
    yield from shell.part("_parameters").items()
    yield from ((name, value) for name, value in shell.part("_buffers").items() if name not in left_out)
    yield from shell.part("_modules").items()


class _Reader(pickle.Unpickler):
    """Builds plain containers, tensors and shells, and nothing else."""

    def __init__(self, archive: zipfile.ZipFile, known: Callable[[str], bool] | None) -> None:
        pickled = _entry(archive, "data.pkl")
        self._root = pickled.removesuffix("data.pkl")
        self._archive, self._known = archive, known
        self._read: dict[str, Stored] = {}
        self.named: set[str] = set()
        order = archive.read(self._root + "byteorder") if self._root + "byteorder" in archive.namelist() else b"little"
        if order != b"little":
            raise pickle.UnpicklingError("its numbers are not little-endian")
        super().__init__(io.BytesIO(_content(archive, pickled)), encoding="utf-8")

    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        full = f"{module}.{name}"
        if full in _PLAIN:
            return _PLAIN[full]
        if full in _BUILDERS:
            return _BUILDERS[full]
        if module in {"torch", "torch.storage"} and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch" and name in _BYTES:
            return name
        if self._known is not None and not self._known(full):
            raise pickle.UnpicklingError(f"it names {full}, which is no part of a network")
        if full in _HOSTILE or module.split(".")[0] in _HOSTILE_ROOTS:
            raise pickle.UnpicklingError(f"it names {full}, which is no part of a checkpoint; nothing of it was run")
        self.named.add(full)
        return Shell

    def persistent_load(self, pid: Any) -> Stored:
        kind, dtype, key, _, _ = pid
        if kind != "storage" or dtype not in _BYTES or not isinstance(key, str):
            raise pickle.UnpicklingError(f"it refers to {kind!r}, which is no storage")
        if key not in self._read:
            raw = bytearray(_content(self._archive, f"{self._root}data/{key}"))
            self._read[key] = Stored(dtype, np.frombuffer(raw, f"<i{_BYTES[dtype]}"))
        return self._read[key]


def _entry(archive: zipfile.ZipFile, name: str) -> str:
    found = [entry for entry in archive.namelist() if entry.split("/")[1:] == [name]]
    if len(found) != 1:
        raise pickle.UnpicklingError(f"it is no archive of torch: it holds {len(found)} entries {name}")
    return found[0]


def _content(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:  # torch packs none; it may unfold to any size
        raise pickle.UnpicklingError(f"it is no archive of torch: its entry {name} is compressed")
    return archive.read(name)


def _tensor(storage: Stored, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Stored:
    numbers, width = storage.values, storage.values.itemsize
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise pickle.UnpicklingError(f"a tensor of shape {tuple(size)} has strides {tuple(stride)} from {offset}")
    if int(np.prod(size, dtype=object)) > numbers.size:
        raise pickle.UnpicklingError(f"a tensor of shape {tuple(size)} has {numbers.size} numbers")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if all(size) and last >= numbers.size:
        raise pickle.UnpicklingError(f"a tensor of shape {tuple(size)} reaches beyond its {numbers.size} numbers")
    start = numbers[offset:]
    return replace(storage, values=np.lib.stride_tricks.as_strided(start, size, [width * step for step in stride]))


def _tensor_of_type(storage: Stored, offset: int, size: Any, stride: Any, _r: Any, _h: Any, dtype: str, *_: Any) -> Any:
    return _tensor(Stored(dtype, storage.values.view(f"<i{_BYTES[dtype]}")), offset, size, stride)


def _parameter(tensor: Stored, *_: Any) -> Stored:
    return tensor


def _of_subclass(build: Any, _type: Any, args: tuple[Any, ...], *_: Any) -> Any:
    return build(*args) if build in _BUILDERS.values() else Shell()


_BUILDERS: dict[str, Any] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_type,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _of_subclass,
}
