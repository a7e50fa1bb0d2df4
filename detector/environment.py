"""How Ultralytics runs here: nothing executed from a weights file, nothing installed, no server called."""

import os
import sys
from pathlib import Path

# Ultralytics reads these once, on import, so every module of ours that imports it imports this one first.
os.environ["ULTRALYTICS_SAFE_LOAD"] = "1"
os.environ["YOLO_AUTOINSTALL"] = "false"
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("YOLO_OFFLINE", "true")  # or importing it asks name servers whether it is online
os.environ.setdefault("YOLO_VERBOSE", "True")
os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))  # it would choose one thread

from core.errors import InputError

try:
    import ultralytics.utils as _utils
    import ultralytics.utils.checks as _checks
    import ultralytics.utils.tqdm as _bars
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] != "ultralytics":
        raise
    raise InputError(
        "detector: this is a checkpoint, a name or a description of Ultralytics', and the package ultralytics "
        "(AGPL-3.0) is not installed: pip install 'grounder[ultralytics]'"
    ) from error

# Its bars redraw themselves several times a second even into a log; there each shall be one plain line when it ends.
if not sys.stdout.isatty():
    _bars.is_noninteractive_console = lambda: True


def _font_of_this_machine(font: str = "Arial.ttf") -> Path | None:
    """Its `check_font` without the download: a training would ask github.com for a font that our sheets do not use."""
    file = Path(_utils.USER_CONFIG_DIR) / Path(font).name
    return file if file.is_file() else None


_checks.check_font = _font_of_this_machine
for _name in ("ultralytics.data.utils", "ultralytics.utils.plotting"):  # which took it by name
    if _name in sys.modules:
        sys.modules[_name].check_font = _font_of_this_machine  # type: ignore[attr-defined]

# Its own loggers would open second runs beside ours (core.tracking). The settings file stays as the user left it.
for _key in ("clearml", "comet", "dvc", "hub", "mlflow", "neptune", "raytune", "wandb", "sync"):
    if _key in _utils.SETTINGS:
        dict.__setitem__(_utils.SETTINGS, _key, False)

if not _utils.SAFE_LOAD or _utils.AUTOINSTALL:
    raise ImportError("ultralytics was imported before detector.environment could forbid it to execute weights files")
