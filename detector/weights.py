"""Finding and loading weights: by path, run folder or published name; nothing in a file is ever executed."""

import contextlib
import re
import socket
from pathlib import Path
from typing import Any

from core.errors import InputError, reason
from core.weights import fetched, weights_dir

RELEASES = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
SUFFIXES = (".pt", ".onnx", ".engine")
YOLOV6 = "https://github.com/meituan/YOLOv6/releases/tag/0.4.0"  # where their issue 846 sends for weights; not tried
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def find_weights(weights: str) -> Path:
    """What `weights` means: a file, a model's folder, a detector.train run (its best), or a published name.

    A published name (`yolov9e`, `yolov9e.pt`) is looked for here, in `weights_dir` and in Ultralytics' own, then
    fetched; a name with one slash is a model of the Hugging Face hub. Raises InputError that says what to fetch and
    where to put it.
    """
    path = fetched(weights)
    if path.is_file():
        return path
    if path.is_dir():
        return _in_folder(path)
    if path.name == "yolov6l6.pt":
        raise InputError(
            f"{weights}: not here; look for it in {YOLOV6} and put it there, or detector.train.model=yolov6l6.yaml"
        )
    if path.suffix not in SUFFIXES and _HUB_NAME.fullmatch(weights):
        return _from_hub(weights)
    name = path.name if path.suffix in SUFFIXES else f"{path.name}.pt"
    return _published(weights, name)


def _in_folder(path: Path) -> Path:
    """A model's folder itself, or the best weights of a detector.train run: a file of Ultralytics' or a folder."""
    for found in (path / "weights" / "best.pt", path / "weights" / "best" / "config.json", path / "config.json"):
        if found.is_file():
            return found if found.suffix == ".pt" else found.parent
    raise InputError(f"{path}: holds no weights/best.pt and no config.json, so it is no finished detector.train run")


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # no such name, no network, a gated model: each has an error of its own
        told = reason(error)
        raise InputError(f"{name}: no such file, and not to be had from the Hugging Face hub: {told}") from error


def _published(weights: str, name: str) -> Path:
    from detector import environment as environment  # before any import of ultralytics

    from ultralytics.utils import SETTINGS  # isort: skip
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES  # isort: skip

    folder = weights_dir()
    known = name in GITHUB_ASSETS_NAMES and Path(weights).name == str(weights)
    for place in (Path(name), folder / name, Path(SETTINGS["weights_dir"]) / name):
        if known and place.is_file():
            return place
    if not known:
        raise InputError(f"{weights}: no such file or folder, and no weights that Ultralytics publishes")
    if _is_reachable("github.com") and _fetch(folder / name, name):
        return folder / name
    raise InputError(f"{name}: not here and could not be fetched; get {RELEASES}/{name} and put it at {folder / name} "
                     "(weights_dir=DIR names another folder)")  # fmt: skip


def _is_reachable(host: str) -> bool:
    try:
        with socket.create_connection((host, 443), timeout=3):
            return True
    except OSError:
        return False


def _fetch(target: Path, name: str) -> bool:
    from ultralytics.utils.downloads import safe_download

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part")
    with contextlib.suppress(Exception):  # whatever goes wrong, the caller says what to fetch by hand
        safe_download(url=f"{RELEASES}/{name}", file=partial, min_bytes=1e5, unzip=False, progress=True)
        partial.replace(target)
    partial.unlink(missing_ok=True)
    return target.is_file()


def load_model(path: Path) -> tuple[Any, dict[str, Any]]:
    """An Ultralytics detection model (float32, on the CPU) and its checkpoint.

    Only tensors and Ultralytics' and torch's own layer classes are built. Raises InputError for a file that is
    truncated, names anything else, or holds no detection model.
    """
    from detector import environment as environment  # before any import of ultralytics

    from ultralytics.nn.tasks import load_checkpoint  # isort: skip

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        # An absolute path is never taken for the name of an asset, whose damaged copy Ultralytics would fetch anew.
        model, checkpoint = load_checkpoint(path.resolve())
    except Exception as error:  # a hostile or broken file may make the unpickler raise anything
        raise InputError(f"{path}: not a checkpoint that can be loaded safely: {_short(error)}") from error
    if type(model).__name__.startswith("RTDETR"):
        raise InputError(
            f"{path}: is an RT-DETR of Ultralytics', which is not supported; a YOLO is, and RT-DETR as transformers "
            "saves it, in a folder"
        )
    head = getattr(model, "model", [None])[-1]
    if getattr(model, "task", None) not in {"detect", "segment"} or not hasattr(head, "stride"):
        raise InputError(
            f"{path}: holds a {getattr(model, 'task', None) or type(model).__name__} model, not a detector"
        )
    return model, checkpoint


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {reason(error).removeprefix('ERROR ❌️ ')[:300]}"
