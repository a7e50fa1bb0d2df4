"""Tensors of PyTorch's own formats, read without running anything in them: `.bin` and `.pt` files, DCP folders.

A `.pt` file is a zip archive of a pickle and raw data: the pickle is read with `weights_only`, else by `core.pickles`,
and the archive's checksums are compared, which torch itself does not do. A DCP folder's
`.metadata` is a pickle that torch would run as it is; here only the classes that describe tensors may appear in it.
"""

import io
import pickle
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.archives import check_archive, first_damaged
from core.errors import InputError, reason
from core.pickles import Shell, Stored, is_script, network_tensors, read_pickle
from siglip.convert.source import DCP_METADATA

CONTAINERS = ("state_dict", "model_state_dict", "model", "module")  # where a training script keeps parameters
_OF_ANY_PICKLE = {"torch", "__torch__", "collections", "builtins", "_codecs", "copyreg"}
_DCP_CLASSES = {
    ("torch", "Size"), ("torch._utils", "_rebuild_tensor_v2"), ("collections", "OrderedDict"), ("torch", "device"),
    ("torch.serialization", "_get_layout"), ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.distributed.checkpoint.filesystem", "_StoragePrefix"), ("pathlib", "PosixPath"),
    ("pathlib._local", "PosixPath"),
}  # fmt: skip
_DCP_MODULE = "torch.distributed.checkpoint.metadata"
_DCP_KINDS = {
    "Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "TensorProperties", "ChunkStorageMetadata",
    "MetadataIndex", "StorageMeta", "_MEM_FORMAT_ENCODING",
}  # fmt: skip


def read_torch_files(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The tensors of one file, or of all shards together; InputError for anything but named tensors."""
    tensors: dict[str, Tensor] = {}
    for path in paths:
        for name, tensor in _read_torch_file(path).items():
            if name in tensors:
                raise InputError(f"{path}: tensor {name!r} is in another shard too")
            tensors[name] = tensor
    return tensors


def _read_torch_file(path: Path) -> dict[str, Tensor]:
    tensors = _innermost(_load(path), path)
    stranger = next((k for k, v in tensors.items() if not isinstance(k, str) or not isinstance(v, Tensor)), None)
    if stranger is not None:
        raise InputError(f"{path}: field {stranger!r}: not a tensor")
    return {name: _detached(tensor, f"{path}: tensor {name!r}") for name, tensor in tensors.items()}


def _load(path: Path) -> Any:
    """What torch saved; where that names classes that are not torch's, with shells in place of their objects."""
    check_archive(path)
    try:
        if not is_script(path):  # of which torch would only say that it must not be read so
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises anything from pickle's errors to RuntimeError for a damaged file
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path}: not a file of tensors that can be read safely: {reason(error)[:200]}") from error
    value, named = read_pickle(path)
    packages = sorted({name.split(".")[0] for name in named} - _OF_ANY_PICKLE)
    if packages:
        print(f"{path}: not sure: objects of {', '.join(packages)} were left closed, as nothing in a file is run; "
              "what tensors may be in them alone is not read")  # fmt: skip
    return value


def _innermost(value: Any, path: Path) -> dict[Any, Any]:
    """The named tensors in whatever holds them: a container may stand in another, or be a whole pickled network."""
    while not (isinstance(value, Shell) and not value.items):
        value = value.items if isinstance(value, Shell) else value
        if not isinstance(value, dict) or not value:
            raise InputError(f"{path}: holds no named tensors")
        given = {name: value.get(name) for name in CONTAINERS}
        inner = next((name for name, v in given.items() if (v and isinstance(v, dict)) or _holds(v)), None)
        if inner is None and not any(isinstance(entry, Tensor | Stored) for entry in value.values()):
            inner = _only_holder(value, path)
        if inner is None:
            return {name: _tensor(v) if isinstance(v, Stored) else v for name, v in value.items()}
        value = value[inner]
    return {name: _tensor(stored) for name, stored in network_tensors(value, path).items()}


def _only_holder(value: dict[Any, Any], path: Path) -> Any:
    """The one entry that holds tensors, under a name of its own; None where none does, InputError where several do."""
    found = [name for name, entry in value.items() if _holds(entry)]
    if len(found) > 1:
        raise InputError(f"{path}: field {found[0]!r}: holds tensors, and so does {found[1]!r}; save the one that is "
                         "the model alone")  # fmt: skip
    if found:
        print(f"{path}: not sure: {found[0]!r} alone holds tensors, so it is taken for the model")
    return found[0] if found else None


def _holds(entry: Any) -> bool:
    """Whether this is a mapping of names to tensors alone, or a pickled network."""
    if isinstance(entry, Shell) and not entry.items:
        return bool(entry.part("_modules") or entry.part("_parameters"))
    entries = entry.items if isinstance(entry, Shell) else entry
    is_mapping = isinstance(entries, dict) and bool(entries)
    return is_mapping and all(isinstance(value, Tensor | Stored) for value in entries.values())


def _tensor(stored: Stored) -> Tensor:
    return torch.from_numpy(stored.values).view(getattr(torch, stored.dtype))


def _detached(tensor: Tensor, where: str) -> Tensor:
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        raise InputError(f"{where}: is sparse, quantised or empty of data, which safetensors cannot hold")
    return tensor.detach()


def untie(tensors: dict[str, Tensor], wanted: set[str] | None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors without second names for the same memory, the names left out and the one that stays for each).

    wanted: names to keep before others, those of the model without its ties. safetensors stores each memory once and
    remembers the others in its metadata, as its own `save_model` does.
    """
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, tensor in tensors.items():
        same = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()))
        groups.setdefault(same if tensor.numel() else (name,), []).append(name)
    left_out: dict[str, str] = {}
    for names in groups.values():
        kept = next((n for n in names if wanted is not None and n in wanted), min(names))
        left_out |= {name: kept for name in names if name != kept}
    return {name: tensor for name, tensor in tensors.items() if name not in left_out}, left_out


class _Describer(pickle.Unpickler):
    """Reads a DCP folder's description; any class that describes no tensor ends it."""

    def find_class(self, module: str, name: str) -> Any:
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if is_dtype or (module, name) in _DCP_CLASSES or (module == _DCP_MODULE and name in _DCP_KINDS):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}, which describes no tensor")


def read_dcp(folder: Path) -> dict[str, Tensor]:
    """The model's tensors of a DCP folder (FSDP's sharded checkpoint).

    Where the folder holds optimizer and model side by side, the entry `model` is taken. Raises InputError.
    """
    from torch.distributed.checkpoint import FileSystemReader, load
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata

    try:
        with open(folder / DCP_METADATA, "rb") as stream:
            described = _Describer(stream).load()
    except Exception as error:  # a damaged pickle raises anything
        raise InputError(f"{folder / DCP_METADATA}: cannot be read safely: {error}") from error
    if not isinstance(described, Metadata):
        raise InputError(f"{folder / DCP_METADATA}: describes no checkpoint")
    if described.storage_meta is None:
        described.storage_meta = StorageMeta()

    class SafeReader(FileSystemReader):
        def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
            return described

    entries = {k: e for k, e in described.state_dict_metadata.items() if isinstance(e, TensorStorageMetadata)}
    names = _model_names(list(entries), dict(described.planner_data or {}))
    if not names:
        raise InputError(f"{folder}: holds no tensors")
    _check_slices(folder, described, names)
    tensors = {k: torch.empty(entries[k].size, dtype=entries[k].properties.dtype) for k in names}
    warnings.filterwarnings("ignore", "torch.distributed is disabled")  # one process is what is meant
    try:
        load(tensors, storage_reader=SafeReader(folder), no_dist=True)
    except (Exception, CheckpointException) as error:  # torch's own is no Exception; a damaged shard raises anything
        raise InputError(f"{folder}: damaged: {reason(error, -1)[:200]}") from error
    return {names[key]: tensor for key, tensor in tensors.items()}


def _check_slices(folder: Path, described: Any, names: dict[str, str]) -> None:
    """Compare the checksums of every stored piece of the tensors: each is a small zip archive within a shard."""
    for place, piece in (described.storage_data or {}).items():
        if place.fqn not in names:
            continue
        path = folder / piece.relative_path
        if path.parent != folder:
            raise InputError(f"{folder}: names a shard outside of itself, {piece.relative_path!r}")
        try:
            with open(path, "rb") as stream:
                stream.seek(piece.offset)
                raw = io.BytesIO(stream.read(piece.length))
            with zipfile.ZipFile(raw) as archive:
                broken = first_damaged(archive)
        except Exception as error:  # a damaged directory raises anything from BadZipFile to UnicodeDecodeError
            raise InputError(f"{path}: damaged, or missing: {error}") from error
        if broken is not None:
            raise InputError(f"{path}: damaged: the checksum or description of {place.fqn!r} differs")


def _model_names(keys: Sequence[str], paths: dict[str, Any]) -> dict[str, str]:
    """Each stored key of the model and its parameter name: its path in the saved dictionary without `model`."""
    parts = {key: tuple(map(str, paths.get(key, (key,)))) for key in keys}
    if any(len(path) > 1 and path[0] == "model" for path in parts.values()):
        return {key: ".".join(path[1:]) for key, path in parts.items() if path[0] == "model" and len(path) > 1}
    return {key: ".".join(path) for key, path in parts.items()}
