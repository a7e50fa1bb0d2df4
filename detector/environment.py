"""How this house lets Ultralytics run: nothing executed from a weights file, nothing installed, nobody called."""

import os

# Ultralytics reads these once, on import, so every module of ours that imports it imports this one first.
os.environ["ULTRALYTICS_SAFE_LOAD"] = "1"
os.environ["YOLO_AUTOINSTALL"] = "false"
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("YOLO_VERBOSE", "True")

import ultralytics.utils as _utils

# Its own loggers would open second runs beside ours (core.tracking). The settings file stays as the user left it.
for _key in ("clearml", "comet", "dvc", "hub", "mlflow", "neptune", "raytune", "wandb", "sync"):
    if _key in _utils.SETTINGS:
        dict.__setitem__(_utils.SETTINGS, _key, False)

if not _utils.SAFE_LOAD or _utils.AUTOINSTALL:
    raise ImportError("ultralytics was imported before detector.environment could forbid it to execute weights files")
