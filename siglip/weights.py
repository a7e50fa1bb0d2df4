"""Where a scorer's checkpoint is: a folder, a training's run folder, `weights_dir`, or a name on the hub."""

import os
import re
import socket
from pathlib import Path

from core.errors import InputError
from core.weights import fetched, weights_dir

HUB = "huggingface.co"
_HUB_NAME = re.compile(r"(hf-hub:)?[\w-][\w.-]*/[\w.-]+|[\w-]+")
_OF_A_RUN = ("best", "last")  # which of a siglip.train run's folders is meant, the first that is there


def find_scorer(weights: str) -> str:
    """The checkpoint folder or hub name that `weights` means.

    Raises InputError at once, with what to fetch, for a name that is neither here nor can be reached.
    """
    folder = fetched(weights)
    if folder.is_dir():
        marks = ("config.json", "open_clip_config.json", "scorer.json")
        if any((folder / mark).is_file() for mark in marks):
            return str(folder)
        inner = next((folder / name for name in _OF_A_RUN if (folder / name / "config.json").is_file()), folder)
        if inner is folder and (folder / "run.json").is_file():
            raise InputError(f"scorer: {folder}: holds neither best/ nor last/, so it is no finished siglip.train run")
        if inner is folder and not any(folder.glob("*config*.json")):
            raise InputError(f"scorer: {folder}: holds no config.json, so no library saved it as a scorer")
        return str(inner)
    if not _HUB_NAME.fullmatch(weights) or (Path(weights).parent.is_dir() and "/" in weights):
        raise InputError(f"scorer: {weights}: no such file or folder")
    if not _is_cached(weights.removeprefix("hf-hub:")) and not _is_reachable():
        name = weights.removeprefix("hf-hub:")
        raise InputError(
            f"scorer: {weights}: not here, and {HUB} cannot be reached; where it can, run hf download {name} "
            f"--local-dir {weights_dir() / name} (weights_dir=DIR names another folder)"
        )
    return weights


def _is_cached(name: str) -> bool:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "snapshots"
    return folder.is_dir() and any(folder.iterdir())


def _is_reachable() -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        return False
    if os.environ.get("HF_ENDPOINT") or os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        return True  # a mirror or a proxy: the library itself finds out
    try:
        with socket.create_connection((HUB, 443), timeout=3):
            return True
    except OSError:
        return False
