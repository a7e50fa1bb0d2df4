"""Where a preset's file is, for settings that name presets beside the group's own choice."""

import importlib.resources
from importlib.resources.abc import Traversable
from pathlib import Path

CONFIGS = "configs"  # the package that ships the YAML values
_own: list[Path] = []  # the --config-dir of this run


def use_config_dir(folder: str | Path | None) -> None:
    """Let `find_preset` look into a user's folder of presets first; None: into none."""
    _own[:] = [] if folder is None else [Path(folder)]


def find_preset(group: str, name: str) -> Path | Traversable | None:
    """The YAML file of a preset, the user's own before a shipped one; None where there is none."""
    for root in (*_own, importlib.resources.files(CONFIGS)):
        found = root.joinpath(group, f"{name}.yaml")
        if found.is_file():
            return found
    return None
