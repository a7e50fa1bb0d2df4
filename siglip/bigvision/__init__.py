"""SigLIP weights from big_vision's .npz into a transformers folder, and back, exact to the bit."""

from pathlib import Path
from typing import Any

from core.errors import InputError
from core.runs import RunFolder
from siglip.bigvision.settings import BigVisionConfig


def run(config: BigVisionConfig, folder: RunFolder) -> dict[str, Any]:
    """Convert in the direction that `source` and `out` name; returns counts and the architecture.

    Raises InputError for another model than a SigLIP with fixed-size images, and for a `like` of other sizes.
    """
    from siglip.bigvision.folders import to_folder, to_npz

    source, out = Path(config.source), Path(config.out)
    if (source.suffix == ".npz") == (out.suffix == ".npz"):
        raise InputError("out: one of source and out must be an .npz, the other a folder")
    if source.suffix == ".npz" and config.stacked:
        raise InputError("stacked: is for writing an .npz; reading knows both forms by itself")
    if source.suffix != ".npz" and config.like is not None:
        raise InputError("like: is for writing a folder; an .npz holds weights only")
    folder.add_parent(config.source)
    if source.suffix == ".npz":
        return to_folder(source, out, config.like)
    return to_npz(config.source, out, config.stacked)


def main(argv: list[str] | None = None) -> None:
    """Run the command `siglip.bigvision`."""
    from grounder.command import run_command

    run_command("siglip.bigvision", BigVisionConfig, run, argv)
