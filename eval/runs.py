"""The run folders a report is about: found by their `run.json`, read with tolerance for what is missing."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import read_json, read_text

_DEPTH = 3  # folders below the given one that are searched

# the figures worth a place in the table of runs, by command
HEADLINES = {
    "data.scenes": ("num_images", "num_boxes", "num_captions"),
    "data.split": ("num_train", "num_val"),
    "data.crops": ("num_crops",),
    "data.yolo": ("num_images", "num_boxes", "num_train", "num_val"),
    "upscale.crops": ("num_crops",),
    "detector.train": ("AP50", "AP", "best/AP50", "best/AP"),
    "siglip.train": ("loss", "samples_per_s"),
    "pipeline.export": ("accuracy", "num_captions", "peak_memory_mib"),
    "eval.coco": ("AP", "AP50", "f1", "best_f1"),
    "eval.grounding": ("accuracy", "num_hits", "num_captions"),
    "eval.sweep": ("num_points", "best_accuracy"),
}


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

    def setting(self, name: str) -> Any:
        """A value of its `config.yaml`, None where there is none."""
        from omegaconf import OmegaConf

        path = self.path / "config.yaml"
        return OmegaConf.to_container(OmegaConf.load(path)).get(name) if path.is_file() else None  # type: ignore[union-attr,call-overload]

    def figures(self) -> str:
        """The figures worth a place in a table."""
        chosen = [(n, self.metrics[n]) for n in HEADLINES.get(self.command, ()) if n in self.metrics]
        if not chosen:
            chosen = [(n, v) for n, v in self.metrics.items() if isinstance(v, int | float)][:3]
        return ", ".join(f"{_plain(name)} {_short(value)}" for name, value in chosen)


def _plain(name: str) -> str:
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


def _read(path: Path) -> FoundRun:
    record = read_json(path)
    metrics = path.parent / "metrics.json"
    values = read_json(metrics) if metrics.is_file() else {}
    return FoundRun(path.parent, str(record.get("command", "")), record, values if isinstance(values, dict) else {})


def latest(runs: Sequence[FoundRun], command: str) -> FoundRun | None:
    """The newest finished run of a command, None when there is none."""
    fitting = [run for run in runs if run.command == command and run.record.get("state") == "done"]
    return fitting[-1] if fitting else None
