"""Finding and loading weights: by path, run folder or published name; nothing in a file is ever executed."""

import contextlib
import socket
from pathlib import Path
from typing import Any

from core.errors import InputError, reason
from detector import environment as environment  # before any import of ultralytics

RELEASES = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
SUFFIXES = (".pt", ".onnx", ".engine")


def find_weights(weights: str) -> Path:
    """The file that `weights` means: a file, a detector.train run folder (its best.pt), or a published name.

    A published name (`yolov9e`, `yolov9e.pt`) is looked for here and in Ultralytics' weights folder, then fetched.
    Raises InputError that says what to fetch and where to put it.
    """
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        best = path / "weights" / "best.pt"
        if not best.is_file():
            raise InputError(f"{path}: holds no weights/best.pt, so it is no finished detector.train run")
        return best
    name = path.name if path.suffix in SUFFIXES else f"{path.name}.pt"
    return _published(weights, name)


def _published(weights: str, name: str) -> Path:
    from ultralytics.utils import SETTINGS
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    folder = Path(SETTINGS["weights_dir"])
    known = name in GITHUB_ASSETS_NAMES and Path(weights).name == str(weights)
    for place in (Path(name), folder / name):
        if known and place.is_file():
            return place
    if not known:
        raise InputError(f"{weights}: no such file or folder, and no weights that Ultralytics publishes")
    if _is_reachable("github.com") and _fetch(folder / name, name):
        return folder / name
    raise InputError(f"{name}: not here and could not be fetched; get {RELEASES}/{name} and put it at {folder / name}")


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
    from ultralytics.nn.tasks import load_checkpoint

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        # An absolute path is never taken for the name of an asset, whose damaged copy Ultralytics would fetch anew.
        model, checkpoint = load_checkpoint(path.resolve())
    except Exception as error:  # a hostile or broken file may make the unpickler raise anything
        raise InputError(f"{path}: not a checkpoint that can be loaded safely: {_short(error)}") from error
    head = getattr(model, "model", [None])[-1]
    if getattr(model, "task", None) not in {"detect", "segment"} or not hasattr(head, "stride"):
        raise InputError(
            f"{path}: holds a {getattr(model, 'task', None) or type(model).__name__} model, not a detector"
        )
    return model, checkpoint


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {reason(error).removeprefix('ERROR ❌️ ')[:300]}"
