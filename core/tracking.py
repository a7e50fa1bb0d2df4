"""Tracking of a run: local files always, Weights & Biases beside them; a dead network never stops anything."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.files import read_json, write_json
from core.runs import RunFolder

# The client reports on itself to its makers otherwise, in offline mode too.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")


class TrackingMode(Enum):
    """Where a run is told: `auto` is online with a key and offline without one."""

    auto = "auto"
    online = "online"
    offline = "offline"
    disabled = "disabled"


@dataclass
class TrackingConfig:
    """Weights & Biases settings; its own WANDB_* variables win over the values left at null."""

    mode: TrackingMode = TrackingMode.auto  # W&B: online when there is a key, else offline
    project: str | None = None  # W&B project, default grounder
    entity: str | None = None  # W&B team or user
    group: str | None = None  # W&B group, to hold the runs of one study together
    name: str | None = None  # W&B display name, default the run folder's
    tags: list[str] = field(default_factory=list)  # W&B tags


class Tracker:
    """Writes `history.jsonl` in the run folder and the same to W&B; one line on standard error if W&B fails."""

    def __init__(self, folder: RunFolder, run: Any) -> None:
        self._folder = folder
        self._run = run
        self._history = open(folder.path / "history.jsonl", "a", encoding="utf-8") if folder.is_main else None  # noqa: SIM115

    @property
    def run_id(self) -> str | None:
        """W&B's id of this run, None when W&B is off."""
        return None if self._run is None else str(self._run.id)

    def log(self, values: Mapping[str, float | int | str | None], step: int | None = None) -> None:
        """Record named numbers at a step."""
        if self._history is not None:
            entry = {"step": step, **{k: _number(v) for k, v in values.items()}}
            self._history.write(json.dumps(entry) + "\n")
            self._history.flush()
        self._quietly(lambda run: run.log(dict(values), step=step))

    def log_images(
        self,
        name: str,
        images: Sequence[NDArray[np.uint8]],
        step: int | None = None,
        captions: Sequence[str] | None = None,
    ) -> None:
        """Record (H, W, 3) RGB images under a name."""

        def send(run: Any) -> None:
            import wandb

            texts: Sequence[str | None] = captions or [None] * len(images)
            run.log({name: [wandb.Image(i, caption=c) for i, c in zip(images, texts, strict=True)]}, step=step)

        self._quietly(send)

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Record a table."""

        def send(run: Any) -> None:
            import wandb

            run.log({name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

        self._quietly(send)

    def log_html(self, name: str, path: Path) -> None:
        """Record a self-contained HTML file."""

        def send(run: Any) -> None:
            import wandb

            run.log({name: wandb.Html(path.read_text(encoding="utf-8"), inject=False)})

        self._quietly(send)

    def log_artifact(self, path: Path | Sequence[Path], name: str, kind: str) -> None:
        """Record a file, a folder or several of them as one versioned artifact of this run."""

        def send(run: Any) -> None:
            import wandb

            artifact = wandb.Artifact(name, type=kind)
            for part in [path] if isinstance(path, Path) else path:
                artifact.add_dir(str(part)) if part.is_dir() else artifact.add_file(str(part))
            run.log_artifact(artifact)

        self._quietly(send)

    def use_artifact(self, name: str, kind: str) -> None:
        """Record that this run used another's artifact (online; an offline run keeps it in run.json's parents)."""
        self._quietly(lambda run: None if run.offline else run.use_artifact(f"{name}:latest", type=kind))

    def summary(self, values: Mapping[str, Any]) -> None:
        """Record the run's closing numbers."""
        self._quietly(lambda run: run.summary.update(dict(values)))

    def finish(self) -> None:
        """Close the run; an offline run ends with the line that sends it."""
        if self._history is not None:
            self._history.close()
            self._history = None
        if self._run is None:
            return
        offline, folder = bool(getattr(self._run, "offline", False)), Path(self._run.dir).parent
        with contextlib.suppress(ValueError):  # as short as it was typed
            folder = folder.relative_to(Path.cwd())
        self._quietly(lambda run: run.finish())
        self._run = None
        if offline:
            print(f"to send this run to Weights & Biases: wandb sync {folder}", file=sys.stderr)

    def _quietly(self, send: Callable[[Any], Any]) -> None:
        if self._run is None:
            return
        try:
            send(self._run)
        except Exception as error:  # whatever the tracker's client or network does, the work goes on
            print(f"tracking: W&B refused an entry and the run goes on: {error}", file=sys.stderr)


def _number(value: Any) -> Any:
    number = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(number, float) and not np.isfinite(number) else number


def start_tracker(
    config: TrackingConfig, folder: RunFolder, job_type: str, settings: Mapping[str, Any] | None = None
) -> Tracker:
    """Begin tracking a run, or take up the W&B run that its folder already names (a resumed run keeps its id).

    job_type: the command. settings: the resolved configuration. Only the main process talks to W&B.
    """
    mode = os.environ.get("WANDB_MODE") or _mode(config.mode)
    if not folder.is_main or mode == "disabled":
        return Tracker(folder, None)
    known = folder.path / "tracking.json"
    run_id = os.environ.get("WANDB_RUN_ID") or (read_json(known).get("wandb_run_id") if known.is_file() else None)
    for way in dict.fromkeys([mode, "offline"]):  # kept offline, what cannot be sent now can be sent later
        try:
            run = _begin(way, config, folder, job_type, run_id, dict(settings or {}))
        except Exception as error:  # no network, a full disk for its cache, a rejected key: the work goes on
            print(f"tracking: W&B could not start ({way}) and the run goes on: {error}", file=sys.stderr)
            _forget_start()
        else:
            write_json(known, {"wandb_run_id": run.id})
            return Tracker(folder, run)
    return Tracker(folder, None)


def _forget_start() -> None:
    """End W&B's service, which holds the id of a run that could not start, and would not start it offline either."""
    with contextlib.suppress(Exception):
        import wandb

        wandb.teardown()


def _begin(
    mode: str, config: TrackingConfig, folder: RunFolder, job_type: str, run_id: str | None, settings: dict[str, Any]
) -> Any:
    import wandb

    return wandb.init(
        mode=mode,  # type: ignore[arg-type]
        dir=str(folder.path.resolve()),  # the client's own process may have been started in another folder
        project=config.project or os.environ.get("WANDB_PROJECT", "grounder"),
        entity=config.entity,
        group=config.group,
        name=config.name or folder.path.name,
        tags=config.tags or None,
        job_type=job_type,
        id=run_id or folder.id,
        resume="allow",
        config=settings,
        settings=wandb.Settings(
            silent=True, x_disable_stats=True, init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", 30)),
            finish_timeout=float(os.environ.get("WANDB_FINISH_TIMEOUT", 1800)),
        ),
    )  # fmt: skip


def _mode(mode: TrackingMode) -> str:
    if mode is not TrackingMode.auto:
        return mode.value
    return "online" if _has_key() else "offline"


def _has_key() -> bool:
    """Whether the client would find credentials for the server that it would ask; nobody is asked for any."""
    import wandb
    from wandb.sdk.lib import wbauth

    settings = wandb.setup().settings
    stated = settings.api_key or settings.identity_token_file or wbauth.session_credentials(host=settings.base_url)
    return bool(stated or wbauth.read_netrc_auth(host=settings.base_url))
