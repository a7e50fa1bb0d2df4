"""The run folders a report is about: found by their `run.json`, read with tolerance for what is missing."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from core.errors import InputError, reason
from core.files import read_json, read_text
from eval.figures import HEADLINES

T = TypeVar("T")

_DEPTH = 3  # folders below the given one that are searched


@dataclass(frozen=True)
class FoundRun:
    """One run folder."""

    path: Path
    command: str
    record: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def started(self) -> str:
        """When it began, ISO 8601."""
        return str(self.record.get("started", ""))

    @property
    def wall_s(self) -> float:
        """How long it took, in seconds."""
        return float(self.record.get("wall_s", 0.0))

    def history(self) -> list[dict[str, Any]]:
        """The entries of its `history.jsonl`; a torn last line is passed over."""
        return list(_entries(self.path / "history.jsonl"))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its `config.yaml`, read once; empty where there is none."""
        return read_settings(self.path)

    def setting(self, name: str) -> Any:
        """A value of its `config.yaml`, None where there is none."""
        return self.settings.get(name)

    def figures(self) -> str:
        """The figures worth a place in a table."""
        chosen = [(n, self.metrics[n]) for n in HEADLINES.get(self.command, ()) if n in self.metrics]
        if not chosen:
            chosen = [(n, v) for n, v in self.metrics.items() if isinstance(v, int | float)][:3]
        return ", ".join(f"{_words(name)} {_short(value)}" for name, value in chosen)


def read_settings(folder: Path) -> dict[str, Any]:
    """The `config.yaml` of a run folder, empty where there is none; InputError when it is no mapping in valid YAML."""
    from omegaconf import OmegaConf

    path = folder / "config.yaml"
    if not path.is_file():
        return {}
    try:
        settings = OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:  # yaml's and OmegaConf's own kinds, for a file edited by hand
        raise InputError(f"{path}: not valid YAML: {reason(error)}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{path}: not a mapping of settings")
    return {str(name): value for name, value in settings.items()}


def typed(settings: Mapping[str, Any], schema: type[T], folder: Path) -> T:
    """Those of a run's settings that a dataclass has, as one; its defaults stand for what an older run did not know.

    Raises InputError, which names the `config.yaml` of `folder`, for a value that does not fit.
    """
    from omegaconf import OmegaConf

    structured = OmegaConf.structured(schema)
    given = {name: settings[name] for name in structured if name in settings}
    try:
        found = OmegaConf.to_object(OmegaConf.merge(structured, given))
    except Exception as error:  # OmegaConf's own kinds, for a file edited by hand or of another version
        raise InputError(f"{folder / 'config.yaml'}: {reason(error)}") from error
    assert isinstance(found, schema)
    return found


def _words(name: str) -> str:
    return name.removeprefix("num_").replace("_", " ")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _entries(path: Path) -> Iterable[dict[str, Any]]:
    if not path.is_file():
        return
    for line in read_text(path).splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(entry, dict):
            yield entry


def find_runs(folder: str, more: Sequence[str] = ()) -> list[FoundRun]:
    """Every run folder at or below `folder` and `more`, oldest first; InputError when a folder is missing or empty."""
    found: dict[Path, FoundRun] = {}
    for root in (Path(folder), *map(Path, more)):
        if not root.is_dir():
            raise InputError(f"{root}: no such folder")
        records = [p for p in root.rglob("run.json") if len(p.relative_to(root).parts) <= _DEPTH]
        if not records:
            raise InputError(f"{root}: holds no run folder (a folder with run.json)")
        found |= {p.parent.resolve(): _read(p) for p in records}
    return sorted(found.values(), key=lambda run: (run.started, str(run.path)))


def run_at(folder: Path) -> FoundRun | None:
    """The run whose folder this is, None where it is none."""
    return _read(folder / "run.json") if (folder / "run.json").is_file() else None


def _read(path: Path) -> FoundRun:
    record = read_json(path)
    metrics = path.parent / "metrics.json"
    values = read_json(metrics) if metrics.is_file() else {}
    return FoundRun(path.parent, str(record.get("command", "")), record, values if isinstance(values, dict) else {})


def latest(runs: Sequence[FoundRun], command: str) -> FoundRun | None:
    """The newest finished run of a command, None when there is none."""
    fitting = [run for run in runs if run.command == command and run.record.get("state") == "done"]
    return fitting[-1] if fitting else None
