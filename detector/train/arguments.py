"""Ultralytics' own train arguments, passed through by name and checked before any work."""

from collections.abc import Mapping
from typing import Any

from core.errors import InputError, nearest, reason
from detector import environment as environment  # before any import of ultralytics

# What detector.train itself decides; each names the setting to use instead.
OURS = {
    "data": "data",
    "model": "detector.train.model",
    "pretrained": "detector.train.model",
    "imgsz": "stages[].imgsz",
    "epochs": "stages[].epochs",
    "augmentations": "recipe",
    "rect": "detector.train.rectangle",
    "device": "device",
    "seed": "seed",
    "project": "run_dir",
    "name": "run_dir",
    "save_dir": "run_dir",
    "exist_ok": "run_dir",
    "resume": "run_dir (the same run_dir goes on where it stopped)",
    "task": "nothing: it is always detect",
    "mode": "the command",
    "cfg": "detector.train.args",
}


def check_arguments(args: Mapping[str, Any], where: str = "detector.train.args") -> dict[str, Any]:
    """The arguments as a plain dict; InputError names an unknown one and the nearest, or a value of a wrong type."""
    from ultralytics.cfg import check_cfg
    from ultralytics.utils import DEFAULT_CFG_DICT

    known = sorted(set(DEFAULT_CFG_DICT) - set(OURS))
    for name in args:
        if name in OURS:
            raise InputError(f"{where}.{name}: is set by {OURS[name]}")
        if name not in DEFAULT_CFG_DICT:
            close = nearest(str(name), known)
            hint = f"; the nearest is '{close}'" if close else ""
            raise InputError(f"{where}.{name}: Ultralytics has no such train argument{hint}")
    values = dict(args)
    try:
        check_cfg(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {reason(error)}") from error
    return values
