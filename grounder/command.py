"""Run one command: compose its settings, make its run folder, call it, and turn every failure into an exit status."""

import errno
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from core.decoding import DecodingSettings, use_decoding
from core.errors import InputError, RefusedChangeError
from core.runs import RunFolder, choose_run_dir
from core.texts import on_terminal
from core.weights import use_weights_dir
from grounder.device import require_device

Run = Callable[[Any, RunFolder], dict[str, Any] | None]

# What the machine refuses (no space, no permission, a port in use) is the user's to mend, not a defect of ours.
_MACHINE_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EADDRINUSE, errno.EADDRNOTAVAIL,
    errno.EISDIR, errno.ENOTDIR, errno.EFBIG,
}  # fmt: skip


JOB = "${hydra.job.num}"


def run_command(command: str, schema: type, run: Run, argv: Sequence[str] | None = None) -> None:
    """Run `run(config, folder)` with the settings that `argv` (default: the command line) composes.

    Writes `config.yaml`, `run.json` and `metrics.json` into the run folder. Exits with status 2 and one line on
    standard error for wrong use or bad input, 130 when interrupted; lets every other exception show its traceback.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        _dispatch(command, schema, run, words)
        sys.stdout.flush()  # here, where a reader that left is no error
    except InputError as error:
        _fail(command, str(error))
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in _MACHINE_ERRORS:
            raise
        place = f"{error.filename}: " if error.filename else ""
        _fail(command, f"{place}{error.strerror}")
    except KeyboardInterrupt:
        print(f"{command}: interrupted; the same command goes on from what is complete", file=sys.stderr)
        raise SystemExit(130) from None


def _fail(command: str, message: str) -> None:
    print(f"{command}: {on_terminal(message)}", file=sys.stderr, flush=True)
    raise SystemExit(2)


def _dispatch(command: str, schema: type, run: Run, words: list[str]) -> None:
    from hydra._internal.utils import get_args_parser

    from grounder.compose import compose_config, first_of_sweeps, register, sweep_words
    from grounder.points import print_points

    config_name = register(command, schema)
    flags, unknown = get_args_parser().parse_known_intermixed_args(words)
    if unknown:
        raise InputError(f"{unknown[0]}: no such flag (--help lists the settings)")
    if flags.help:
        print(_help(command, schema, run, config_name, flags.config_dir))
    elif flags.multirun:
        compose_config(config_name, first_of_sweeps(flags.overrides), flags.config_dir)
        swept = sweep_words(config_name, flags.overrides, flags.config_dir)
        folder, each = _multirun_folders(command, flags.overrides)
        began = time.time()
        own = [w for w in words if w not in flags.overrides]
        _hydra(command, run, config_name, _multirun_words(own, swept, folder, each))
        if each != JOB:
            (Path(folder) / "multirun.yaml").unlink(missing_ok=True)  # Hydra's, in a folder that is not the sweep's own
        print_points(folder, each, began)
    elif flags.hydra_help or flags.info or flags.shell_completion or flags.cfg in {"hydra", "all"}:
        _hydra(command, run, config_name, words)
    else:
        config = compose_config(config_name, flags.overrides, flags.config_dir)
        if flags.cfg:
            print(OmegaConf.to_yaml(config), end="")
        else:
            execute(command, run, config, words)


def _help(command: str, schema: type, run: Run, config_name: str, config_dir: str | None) -> str:
    from hydra import compose, initialize_config_module

    from grounder.compose import search_path
    from grounder.help import help_text
    from grounder.presets import CONFIGS

    with initialize_config_module(CONFIGS, version_base="1.3"):
        config = compose(config_name, overrides=search_path(config_dir))
    doc = sys.modules[run.__module__].__doc__ or ""
    return help_text(command, doc, schema, config, config_dir)


def execute(command: str, run: Run, config: DictConfig, words: Sequence[str]) -> dict[str, Any] | None:
    """Run one composed configuration in its run folder; returns the metrics."""
    use_weights_dir(config.get("weights_dir"))
    require_device(config.get("device"))
    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    path = choose_run_dir(command, config.get("run_dir"), rank, processes)
    folder = RunFolder(path, command, ["python", "-m", command, *words], is_main=rank == 0, seed=config.get("seed"))
    config.run_dir = str(path)
    settings = OmegaConf.to_object(config)
    use_decoding(getattr(settings, "decoding", DecodingSettings()))
    folder.open(OmegaConf.to_yaml(config))
    try:
        metrics = run(settings, folder)
    except RefusedChangeError:
        folder.give_back()
        raise
    except BaseException as error:
        folder.record("failed")
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            error.filename = error.filename or str(path)  # a library that writes a stream names no file
        raise
    folder.close(metrics)
    if folder.is_main:
        for name, value in (metrics or {}).items():
            if isinstance(value, int | float | str) or value is None:
                print(f"{name}: {value}")
        print(f"results in {folder.path}", flush=True)
    return metrics


def _multirun_folders(command: str, overrides: list[str]) -> tuple[str, str]:
    """The folder of a multirun, and of each job below it: what a `${...}` of `run_dir` makes of its settings."""
    given = [w.partition("=")[2] for w in overrides if w.startswith("run_dir=")]
    if not given:
        return f"runs/{command}/multirun/{time.strftime('%Y-%m-%d_%H-%M-%S')}", JOB
    parts = given[-1].strip("'\"").split("/")
    fixed = next((n for n, part in enumerate(parts) if "${" in part), len(parts))
    if fixed == len(parts):
        return given[-1], JOB
    return "/".join(parts[:fixed]) or ".", "/".join([*parts[fixed:], JOB])


def _multirun_words(flags: list[str], overrides: list[str], folder: str, each: str) -> list[str]:
    """Hydra's words for a multirun, whose jobs become numbered run folders."""
    own = [f"hydra.sweep.dir={folder}", f"hydra.sweep.subdir='{each}'", "hydra.output_subdir=null"]
    rest = [w for w in overrides if not w.startswith("run_dir=")]
    return [*flags, *own, "hydra/job_logging=disabled", *rest]  # argparse wants all positional words together


def _hydra(command: str, run: Run, config_name: str, words: list[str]) -> None:
    """Hand over to Hydra's own main, for multirun and its launchers and for Hydra's own flags."""
    import hydra

    def job(config: DictConfig) -> Any:
        from hydra.core.hydra_config import HydraConfig

        from grounder.presets import use_config_dir

        config.run_dir = HydraConfig.get().runtime.output_dir
        sources = [s.path for s in HydraConfig.get().runtime.config_sources if s.schema == "file"]
        use_config_dir(next((path for path in sources if path), None))
        try:
            return execute(command, run, config, HydraConfig.get().overrides.task)
        except InputError as error:
            _fail(command, str(error))

    saved, sys.argv = sys.argv, [sys.argv[0], *words]
    try:
        hydra.main(version_base="1.3", config_path="pkg://configs", config_name=config_name)(job)()
    finally:
        sys.argv = saved
