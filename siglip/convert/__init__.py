"""Clean a checkpoint's parameter names of wrapper prefixes, copying everything else exactly."""

from pathlib import Path
from typing import Any

from core.errors import InputError
from core.runs import RunFolder
from siglip.convert.settings import ConvertConfig, Verify


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
