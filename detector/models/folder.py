"""A detector's folder: `config.json` says what it is, `model.safetensors` holds its tensors."""

from pathlib import Path
from typing import Any

from torch import Tensor

from core.errors import InputError, reason
from core.files import read_json, sha256_bytes, sha256_file


def read_config(folder: Path) -> dict[str, Any]:
    """The values of config.json; InputError when there is none, or it names no model_type."""
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{folder}: holds neither weights/best.pt nor config.json, so it is no detector")
    values = read_json(path)
    if not isinstance(values, dict) or not isinstance(values.get("model_type"), str):
        raise InputError(f"{path}: field 'model_type': is missing")
    return values


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of model.safetensors; InputError when it is missing or damaged."""
    from safetensors.torch import load_file

    path = folder / "model.safetensors"
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return dict(load_file(path))
    except Exception as error:  # safetensors raises its own error, Python's for a file that cannot be read
        raise InputError(f"{path}: not a safetensors file that can be read: {reason(error)}") from error


def digest_folder(folder: Path) -> str:
    """SHA-256 over the configuration and every file of tensors."""
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    return sha256_bytes(" ".join(sha256_file(path) for path in files).encode())


def read_size(value: Any, where: str) -> int | tuple[int, int]:
    """A long side or (height, width) from JSON; InputError for anything else."""
    sides = list(value) if isinstance(value, list | tuple) else [value]
    if len(sides) not in {1, 2} or not all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sides):
        raise InputError(f"{where}: {value!r} is neither a side in pixels nor [height, width]")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])
