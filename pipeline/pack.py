"""Gather a pipeline's settings and checkpoints into one folder that works anywhere, such as in a container."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from core.errors import InputError
from core.runs import RunConfig, RunFolder

SYSTEM = "system"  # the part of the run folder that is the pipeline


@dataclass
class PackConfig(RunConfig):
    """Settings of `pipeline.pack`."""

    pipeline: str = MISSING  # run folder of pipeline.export, whose settings and checkpoints are gathered


def run(config: PackConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `system/`: `config.yaml`, with paths relative to itself, and `weights/`; `pipeline=` takes that folder."""
    from omegaconf import OmegaConf

    from core.files import write_text
    from pipeline.opening import open_pipeline, replace_weights, stored_config

    system = folder.path / SYSTEM
    shutil.rmtree(system, ignore_errors=True)
    (system / "weights").mkdir(parents=True)
    settings = stored_config(config.pipeline)
    copied: dict[tuple[str, str], str] = {}

    def copy(stage: str, weights: str) -> str:
        if (stage, weights) not in copied:
            copied[stage, weights] = _copy(stage, weights, system, len(copied))
        return copied[stage, weights]

    replace_weights(settings, copy)
    write_text(system / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(settings)))
    for path in system.rglob("*"):  # safetensors' writer leaves files that their owner alone may read
        path.chmod(0o755 if path.is_dir() else 0o644)
    folder.add_parent(config.pipeline)
    open_pipeline(str(system))  # what cannot be opened here would not be opened there either
    size = sum(p.stat().st_size for p in system.rglob("*") if p.is_file())
    return {"num_checkpoints": len(copied), "mib": round(size / 2**20, 1)}


def _copy(stage: str, weights: str, system: Path, number: int) -> str:
    """Copy one checkpoint; its path within `system`."""
    source = Path(weights)
    if stage == "detector":
        from detector.weights import find_weights

        source = find_weights(weights)
    if not source.exists():
        raise InputError(f"{stage}.weights: {weights}: no file or folder here, so it cannot be packed; a name of a "
                         "hub must be downloaded into a folder first")  # fmt: skip
    target = Path("weights") / f"{number}_{stage}{source.suffix if source.is_file() else ''}"
    (shutil.copyfile if source.is_file() else shutil.copytree)(source, system / target)
    return str(target)


def main(argv: list[str] | None = None) -> None:
    """Run the command `pipeline.pack`."""
    from grounder.command import run_command

    run_command("pipeline.pack", PackConfig, run, argv)


if __name__ == "__main__":
    main()
