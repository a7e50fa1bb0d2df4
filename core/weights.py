"""Where fetched weights lie: one folder for detectors, upscalers and scorers, from whatever folder one works."""

import os
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "GROUNDER_WEIGHTS"
_ROOT = Path(__file__).resolve().parent.parent


@dataclass
class WeightsConfig:
    """What every command with models takes."""

    weights_dir: str | None = None  # folder of fetched weights; null: $GROUNDER_WEIGHTS, else the checkout's weights/


def use_weights_dir(folder: str | None) -> None:
    """Let `weights_dir` be this folder, for this process and those it starts; None leaves it."""
    if folder is not None:
        os.environ[VARIABLE] = str(Path(folder).expanduser().absolute())


def weights_dir() -> Path:
    """The folder: the setting's, the environment's, the checkout's `weights/`, or one of the user's cache."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    in_checkout = (_ROOT / "pyproject.toml").is_file()
    return _ROOT / "weights" if in_checkout else Path.home() / ".cache" / "grounder" / "weights"


def fetched(name: str) -> Path:
    """Where weights of this name lie: as the path says, else in `weights_dir`, whether they are there or not."""
    path = Path(name).expanduser()
    if path.exists() or path.is_absolute():
        return path
    return weights_dir() / (path.relative_to("weights") if path.parts[:1] == ("weights",) else path)
