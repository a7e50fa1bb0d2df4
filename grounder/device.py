"""Whether the machine has the device that a command is told to use."""

import importlib
from typing import Any

from core.errors import InputError


def require_device(device: Any) -> None:
    """InputError for a GPU that torch does not see: `cuda`, `cuda:1`, `0`, `[0, 1]`; `cpu` and None pass.

    torch is imported for a GPU only, and by name: the rooms that load no model come through here too.
    """
    if device is None or str(device) in {"cpu", "mps"}:
        return
    numbers = [_number(each) for each in (device if not isinstance(device, str | int) else str(device).split(","))]
    if None in numbers:
        return  # what is no GPU's name is the command's own to refuse
    cuda = importlib.import_module("torch").cuda
    found = cuda.device_count() if cuda.is_available() else 0
    missing = next((number for number in numbers if number is not None and number >= found), None)
    if missing is not None:
        seen = f"{found} of them" if found else "none"
        raise InputError(f"device: {device} asks for CUDA GPU {missing}, and torch finds {seen} here; device=cpu works")


def _number(device: Any) -> int | None:
    text = str(device).strip().removeprefix("cuda").removeprefix(":") or "0"
    return int(text) if text.isdecimal() else None
