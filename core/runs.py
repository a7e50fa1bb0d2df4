"""Run folders: what was run, with which settings, from which commit, and what came out."""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from core.errors import InputError
from core.files import read_json, write_bytes, write_json, write_text

RECORDED_PACKAGES = (
    "grounder", "torch", "torchvision", "ultralytics", "transformers", "accelerate", "albumentations",
    "opencv-python", "numpy", "hydra-core", "sahi", "spandrel", "pycocotools", "hotcoco", "onnxruntime",
)  # fmt: skip


@dataclass
class RunConfig:
    """What every command takes."""

    run_dir: str | None = None  # folder of this run; default runs/<command>/<time>


@dataclass
class RunFolder:
    """A command's folder: `config.yaml`, `run.json`, `metrics.json` and all that the command makes.

    Under several processes only rank 0 (`is_main`) writes the records; all ranks share `path`.
    """

    path: Path
    command: str
    command_line: list[str] = field(default_factory=list)
    is_main: bool = True
    parents: list[dict[str, str]] = field(default_factory=list)
    started: float = field(default_factory=time.time)
    seed: int | None = None
    _lock: IO[str] | None = field(default=None, init=False, repr=False)
    _earlier: dict[Path, bytes] = field(default_factory=dict, init=False, repr=False)

    @property
    def id(self) -> str:
        """A short name of this run, the same for every rank."""
        return hashlib.sha256(f"{self.command} {self.path.resolve()}".encode()).hexdigest()[:12]

    def open(self, config_yaml: str) -> None:
        """Make the folder and write `config.yaml` and `run.json`.

        InputError when another command's run lives there, or when another process runs in it now.
        """
        if not self.is_main:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be made a run folder: {error.strerror or error}") from error
        record = self.path / "run.json"
        if record.is_file():
            earlier = read_json(record).get("command")
            if earlier != self.command:
                raise InputError(f"{self.path}: field 'run_dir': already holds a run of {earlier}; name another folder")
        self._lock = _take(self.path)
        self._earlier = {p: p.read_bytes() for p in (self.path / "config.yaml", record) if p.is_file()}
        write_text(self.path / "config.yaml", config_yaml)
        self.record("running")

    def give_back(self) -> None:
        """Put back the record that an earlier run left here: this one was refused before it did anything."""
        if self.is_main:
            for path, held in self._earlier.items():
                write_bytes(path, held)
            self._release()

    def add_parent(self, path: str | os.PathLike[str]) -> None:
        """Record that this run used something of the run folder that holds `path`, if one does."""
        start = Path(path).resolve()
        for folder in (start, *start.parents):
            if (folder / "run.json").is_file():
                record = read_json(folder / "run.json")
                entry = {"id": str(record.get("id")), "command": str(record.get("command")), "path": str(folder)}
                if entry not in self.parents and folder != self.path.resolve():
                    self.parents.append(entry)
                return

    def restate(self, name: str, value: str) -> None:
        """Write another value of a setting into `config.yaml`: what a file that was given has been read into."""
        import yaml

        path = self.path / "config.yaml"
        if self.is_main and path.is_file():
            settings = yaml.safe_load(path.read_text(encoding="utf-8")) | {name: value}
            write_text(path, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))

    def close(self, metrics: dict[str, Any] | None) -> None:
        """Write `metrics.json` and the final `run.json`."""
        if self.is_main and metrics is not None:
            write_json(self.path / "metrics.json", metrics)
        self.record("done")

    def record(self, state: str) -> None:
        """Write `run.json` with the run's state, and leave the folder to others once it is done or failed."""
        if not self.is_main:
            return
        try:
            self._write_record(state)
        except (InputError, OSError):
            if state != "failed":
                raise
            self._overwrite_state(state)  # the reason of the failure, such as a full disk, stands in the way again
        if state != "running":
            self._release()

    def _overwrite_state(self, state: str) -> None:
        """Put another state of the same length into `run.json`, which needs no room on a full disk."""
        path = self.path / "run.json"
        with contextlib.suppress(OSError), open(path, "r+b") as stream:
            data = stream.read()
            stream.seek(0)
            stream.write(data.replace(b'"state": "running"', f'"state": "{state}"'.encode().ljust(18), 1))

    def _write_record(self, state: str) -> None:
        write_json(
            self.path / "run.json",
            {
                "id": self.id,
                "command": self.command,
                "command_line": self.command_line,
                "folder": os.getcwd(),  # which relative paths of the settings start from
                "state": state,
                "commit": _commit(),
                "versions": _versions(),
                "seed": self.seed,
                "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self.started)),
                "wall_s": round(time.time() - self.started, 3),
                "parents": self.parents,
            },
        )

    def _release(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._lock.name)
            self._lock.close()
            self._lock = None


def owner(folder: str | os.PathLike[str]) -> int | None:
    """The number of the process that runs in a run folder now; None when none does, whatever an earlier one left there.

    Not for a process that itself runs in the folder: by POSIX, its own lock would be gone.
    """
    try:
        with open(Path(folder) / ".lock") as stream:
            fcntl.lockf(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except BlockingIOError:
        return int((Path(folder) / ".lock").read_text().strip() or 0)  # 0: it has just taken it, its number follows
    except OSError:
        return None


def _take(folder: Path) -> IO[str]:
    """Lock a run folder for this process, which a kill undoes by itself and forked data loaders do not inherit."""
    while True:
        try:
            stream = open(folder / ".lock", "a+")  # noqa: SIM115 - open as long as the run
        except OSError as error:
            raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from error
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            number = stream.read().strip()
            stream.close()
            raise InputError(f"{folder}: field 'run_dir': in use by process {number}") from None
        try:
            current = os.stat(stream.name).st_ino == os.fstat(stream.fileno()).st_ino
        except FileNotFoundError:
            current = False  # its last owner left and took the file along between the two calls above
        if current:
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            return stream
        stream.close()


def choose_run_dir(command: str, run_dir: str | None, rank: int, processes: int) -> Path:
    """The run folder every rank agrees on: the given one, or one that rank 0 names after the time.

    The ranks of one machine meet in a small file named after their common parent process. Ranks on several machines
    cannot, so there `run_dir` must be given (InputError).
    """
    if run_dir is not None:
        return Path(run_dir).expanduser()
    if processes > int(os.environ.get("LOCAL_WORLD_SIZE", processes)):
        raise InputError("run_dir: must be given (on a shared file system) when a run spans several machines")
    meeting = Path(tempfile.gettempdir()) / f"grounder-{os.getuid()}-{os.getppid()}-{_master()}"
    if rank == 0:
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
        folder, number = Path("runs") / command / stamp, 1
        while folder.exists():
            number += 1
            folder = Path("runs") / command / f"{stamp}_{number}"
        folder = folder.absolute()
        if processes > 1:
            write_text(meeting, str(folder))
        return folder
    deadline = time.monotonic() + 60
    oldest = time.time() - 300  # a file left by an earlier launch of the same parent is of no use
    while not (meeting.is_file() and meeting.stat().st_mtime > oldest):
        if time.monotonic() > deadline:
            raise InputError("run_dir: rank 0 named no run folder within 60 s; give run_dir")
        time.sleep(0.05)
    return Path(meeting.read_text())


def _master() -> str:
    return f"{os.environ.get('MASTER_ADDR', 'local')}-{os.environ.get('MASTER_PORT', '0')}".replace("/", "_")


def is_done(folder: Path, words: Sequence[str]) -> bool:
    """Whether a folder holds a finished run of a command with exactly these words, so that it need not run again."""
    try:
        record = read_json(folder / "run.json")
    except (InputError, OSError):
        return False
    return record.get("state") == "done" and record.get("command_line", [])[3:] == list(words)  # python -m COMMAND


def _commit() -> str | None:
    """The commit of the code that runs, with `+changes` when the checkout differs from it; None outside a checkout."""
    here = Path(__file__).resolve().parent.parent
    try:
        head = _git(here, "rev-parse", "HEAD")
        return head + ("+changes" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": f"{sys.platform} {platform.machine()}"}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
