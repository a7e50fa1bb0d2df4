"""A whole pickled network read for its tensors alone: nothing in the file is run, no package it names is needed.

Meituan's `.pt` is a zip archive of a pickle and raw numbers. The pickle names the classes of the network's parts and
what builds a tensor; here the former become empty shells that remember what belongs to them, the latter our own
function, and any other name ends the reading.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.archives import check_archive
from core.errors import InputError, reason

MOST_PARTS = 10_000  # of a network; a hostile file may describe one that never ends
_SHELL_ROOTS = ("yolov6", "torch.nn")
_SHELL_NAMES = {  # what a training's file holds besides: settings, numbers of numpy, paths
    "torch.device", "torch.Size", "numpy.dtype", "numpy.ndarray", "_codecs.encode", "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
    "copyreg._reconstructor", "builtins.object", "collections.defaultdict", "argparse.Namespace",
    "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib._local.PosixPath",
}  # fmt: skip
_PLAIN = {"builtins.set": set, "builtins.dict": dict, "builtins.list": list, "builtins.tuple": tuple,
          "collections.OrderedDict": OrderedDict}  # fmt: skip
_STORAGES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip


class Shell:
    """Stands for an object of any class that a network's file may name; does nothing but keep its state."""

    def __new__(cls, *args: Any, **named: Any) -> "Shell":
        """An empty one, whatever it is built with."""
        return object.__new__(cls)

    def __init__(self, *args: Any, **named: Any) -> None:
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """An item of a dictionary of a class of its own: of no use here."""

    def append(self, value: Any) -> None:
        """An item of a list of a class of its own: of no use here."""

    def part(self, name: str) -> dict[str, Any]:
        """One of the dictionaries that torch keeps in a module, `_parameters` for one; empty where there is none."""
        state = getattr(self, "state", {})
        found = state.get(name) if isinstance(state, dict) else None
        return found if isinstance(found, dict) else {}


def names_yolov6(path: Path) -> bool:
    """Whether the file is an archive whose pickle names Meituan's package."""
    try:
        with zipfile.ZipFile(path) as archive:
            return b"yolov6." in archive.read(_entry(archive, "data.pkl"))
    except Exception:  # not such an archive, or a damaged one, in any of the ways zipfile knows
        return False


def read_pickled(path: Path) -> dict[str, Tensor]:
    """Name and float32 value of every tensor of a network; `ema` is read where the file holds it, else `model`.

    Raises InputError for a file that is damaged, hostile, or holds no network.
    """
    check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            value = _Reader(archive).load()
    except Exception as error:  # a hostile or broken file may make the unpickler raise anything
        told = f"{type(error).__name__}: {reason(error)[:200]}"
        raise InputError(f"{path}: not a checkpoint that can be loaded safely: {told}") from error
    kept = [value.get(name) for name in ("ema", "model")] if isinstance(value, dict) else []
    network = next((part for part in kept if isinstance(part, Shell)), None)
    if network is None:
        raise InputError(f"{path}: holds no pickled network under 'ema' or 'model'")
    tensors = dict(_tensors(network, path))
    if not tensors:
        raise InputError(f"{path}: holds a network without tensors")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


class _Reader(pickle.Unpickler):
    """Builds plain containers, tensors and shells; refuses every other name."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        pickled = _entry(archive, "data.pkl")
        self._root = pickled.removesuffix("data.pkl")
        self._archive = archive
        self._read: dict[str, Tensor] = {}
        order = archive.read(self._root + "byteorder") if self._root + "byteorder" in archive.namelist() else b"little"
        if order != b"little":
            raise pickle.UnpicklingError("its numbers are not little-endian")
        super().__init__(io.BytesIO(archive.read(pickled)), encoding="utf-8")

    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        full = f"{module}.{name}"
        if full in _PLAIN:
            return _PLAIN[full]
        if full == "torch._utils._rebuild_tensor_v2":
            return _tensor
        if full == "torch._utils._rebuild_parameter":
            return _parameter
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch" and isinstance(vars(torch).get(name), torch.dtype):
            return vars(torch)[name]
        if full in _SHELL_NAMES or any(module == root or module.startswith(root + ".") for root in _SHELL_ROOTS):
            return Shell
        raise pickle.UnpicklingError(f"it names {full}, which is no part of a network")

    def persistent_load(self, pid: Any) -> Tensor:
        kind, dtype, key, _, _ = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise pickle.UnpicklingError(f"it refers to {kind!r}, which is no storage")
        if key not in self._read:
            raw = bytearray(self._archive.read(f"{self._root}data/{key}"))
            self._read[key] = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
        return self._read[key]


def _entry(archive: zipfile.ZipFile, name: str) -> str:
    found = [entry for entry in archive.namelist() if entry.split("/")[1:] == [name]]
    if len(found) != 1:
        raise pickle.UnpicklingError(f"it is no archive of torch: it holds {len(found)} entries {name}")
    packed = next((e.filename for e in archive.infolist() if e.compress_type != zipfile.ZIP_STORED), None)
    if packed is not None:  # torch packs nothing; what is packed may unfold to any size
        raise pickle.UnpicklingError(f"it is no archive of torch: its entry {packed} is compressed")
    return found[0]


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    tensor = storage.as_strided(size, stride, offset)  # raises when it would reach beyond the storage
    if tensor.numel() > storage.numel():
        raise pickle.UnpicklingError(f"a tensor of shape {tuple(size)} has {storage.numel()} numbers")
    return tensor


def _parameter(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


def _tensors(network: Shell, path: Path) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by their full names, as the network's own `state_dict` would list them."""
    waiting, seen = [("", network)], 0
    while waiting:
        prefix, shell = waiting.pop()
        seen += 1
        if seen > MOST_PARTS:
            raise InputError(f"{path}: holds a network of more than {MOST_PARTS} parts")
        for kind in ("_parameters", "_buffers"):
            for name, tensor in shell.part(kind).items():
                if isinstance(tensor, Tensor):
                    yield f"{prefix}{name}", tensor
        waiting += [(f"{prefix}{n}.", part) for n, part in shell.part("_modules").items() if isinstance(part, Shell)]
