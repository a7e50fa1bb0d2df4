"""Where a checkpoint's tensors are: a file or a folder, in safetensors, PyTorch's own format or DCP shards."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from core.errors import InputError
from core.files import read_json

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_TORCH_WEIGHTS, _TORCH_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
DCP_METADATA = ".metadata"
_TORCH_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt"}


class Kind(Enum):
    """The format of the tensors."""

    safetensors = "safetensors"
    torch = "torch"
    dcp = "dcp"


@dataclass(frozen=True)
class Source:
    """What to convert: the path as given, the format, its files (DCP: its folder), and the folder with the config."""

    path: Path
    kind: Kind
    files: tuple[Path, ...]
    folder: Path | None  # where config, tokenizer and processor lie; None for a bare file

    @property
    def has_config(self) -> bool:
        """Whether there is a config to compare with."""
        return self.folder is not None and (self.folder / "config.json").is_file()


def find_source(path: Path) -> Source:
    """The tensors that `path` means; InputError names what is missing."""
    if path.is_file():
        return Source(path, Kind.torch if path.suffix in _TORCH_SUFFIXES else Kind.safetensors, (path,), None)
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    for index, kind in ((INDEX, Kind.safetensors), (_TORCH_INDEX, Kind.torch)):
        if (path / index).is_file():
            return Source(path, kind, _shards(path, index), path)
    for name, kind in ((WEIGHTS, Kind.safetensors), (_TORCH_WEIGHTS, Kind.torch)):
        if (path / name).is_file():
            return Source(path, kind, (path / name,), path)
    shards = [p.parent for p in (path / DCP_METADATA, *sorted(path.glob(f"*/{DCP_METADATA}"))) if p.is_file()]
    models = [p for p in shards if "optim" not in p.name]
    if len(models) == 1:
        return Source(path, Kind.dcp, (models[0],), path)
    if models:
        raise InputError(f"{path}: holds several DCP folders ({models[0].name}, {models[1].name}, ...); name one")
    raise InputError(f"{path}: holds none of {WEIGHTS}, {_TORCH_WEIGHTS}, an index of shards, a DCP folder")


def _shards(folder: Path, index: str) -> tuple[Path, ...]:
    value = read_json(folder / index)
    names = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(n, str) for n in names.values()):
        raise InputError(f"{folder / index}: field 'weight_map': not a mapping of names to files")
    outside = next((n for n in names.values() if Path(n).name != n or n.startswith(".")), None)
    if outside is not None:
        raise InputError(f"{folder / index}: field 'weight_map': {outside!r} leads out of the folder")
    return tuple(folder / name for name in sorted(set(names.values())))
