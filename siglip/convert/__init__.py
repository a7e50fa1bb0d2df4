"""Clean a checkpoint's parameter names of wrapper prefixes, copying everything else exactly."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from core.errors import InputError
from core.runs import RunConfig, RunFolder
from siglip.convert.write import Cast


class Verify(Enum):
    """Whether the result is compared with the model that its config describes."""

    auto = "auto"
    none = "none"


@dataclass
class ConvertConfig(RunConfig):
    """Settings of `siglip.convert`."""

    source: str = MISSING  # safetensors, .bin or .pt file; folder of them, sharded too; folder with DCP shards
    out: str | None = None  # file or folder to write, like the source; PyTorch's formats become safetensors
    verify: Verify = Verify.auto  # compare with the model's own tensors; none: take the names as they come
    dry_run: bool = False  # only show what would be renamed
    in_place: bool = False  # instead of out: write new headers into the source's safetensors files
    cast: Cast | None = None  # bf16, fp16 or fp32 for floating-point tensors; null: as they are


def run(config: ConvertConfig, folder: RunFolder) -> dict[str, Any]:
    """Convert, and say how many names changed and what was verified.

    Raises InputError for broken files, for names that would collide, and for a result that the model would not take.
    """
    from siglip.convert.jobs import convert

    if not config.dry_run and (config.out is None) == (not config.in_place):
        raise InputError("out: give either out=PATH or in_place=true")
    if config.in_place and config.cast is not None:
        raise InputError("cast: changes the data, which in_place leaves alone; give out=PATH")
    folder.add_parent(config.source)
    return convert(
        Path(config.source), None if config.out is None else Path(config.out), compare=config.verify is Verify.auto,
        in_place=config.in_place, cast=config.cast, dry_run=config.dry_run,
    )  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Run the command `siglip.convert`."""
    from grounder.command import run_command

    run_command("siglip.convert", ConvertConfig, run, argv)
