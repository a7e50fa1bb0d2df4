"""A whole pickled network of Meituan's read for its tensors alone, by `core.pickles`.

Only the classes of a network's parts and what a training's file holds besides may be named; any other name ends the
reading.
"""

from pathlib import Path

import torch
from torch import Tensor

from core.errors import InputError
from core.pickles import Shell, Stored, names_package, network_tensors, read_pickle

_SHELL_ROOTS = ("yolov6", "torch.nn")
_SHELL_NAMES = {  # what a training's file holds besides: settings, numbers of numpy, paths
    "torch.device", "torch.Size", "numpy.dtype", "numpy.ndarray", "_codecs.encode", "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
    "copyreg._reconstructor", "builtins.object", "collections.defaultdict", "argparse.Namespace",
    "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib._local.PosixPath",
}  # fmt: skip


def names_yolov6(path: Path) -> bool:
    """Whether the file is an archive whose pickle names Meituan's package."""
    return names_package(path, "yolov6")


def read_pickled(path: Path) -> dict[str, Tensor]:
    """Name and float32 value of every tensor of a network; `ema` is read where the file holds it, else `model`.

    Raises InputError for a file that is damaged, hostile, or holds no network.
    """
    value, _ = read_pickle(path, _is_known)
    kept = [value.get(name) for name in ("ema", "model")] if isinstance(value, dict) else []
    network = next((part for part in kept if isinstance(part, Shell)), None)
    if network is None:
        raise InputError(f"{path}: holds no pickled network under 'ema' or 'model'")
    tensors = {name: _tensor(stored) for name, stored in network_tensors(network, path).items()}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _is_known(name: str) -> bool:
    module = name.rpartition(".")[0]
    return name in _SHELL_NAMES or any(module == root or module.startswith(root + ".") for root in _SHELL_ROOTS)


def _tensor(stored: Stored) -> Tensor:
    return torch.from_numpy(stored.values).view(getattr(torch, stored.dtype))
