"""Export a scorer's two towers to ONNX or TensorRT, with scale and bias, and check that they still say the same."""

from typing import Any

from core.errors import InputError
from core.runs import RunFolder
from siglip.export.settings import ExportConfig


def run(config: ExportConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `image.onnx`, `text.onnx`, the processor and `scorer.json` into the run folder, which is then a scorer.

    Returns the largest differences of unit embeddings and scores from the original's. Raises InputError.
    """
    from siglip.export.graphs import export_and_compare

    if config.largest_batch < 1:
        raise InputError(f"largest_batch: {config.largest_batch} is not at least 1")
    if not 17 <= config.opset <= 25:
        raise InputError(f"opset: {config.opset} is not between 17 and 25")
    folder.add_parent(config.weights)
    return export_and_compare(config, folder.path)


def main(argv: list[str] | None = None) -> None:
    """Run the command `siglip.export`."""
    from grounder.command import run_command

    run_command("siglip.export", ExportConfig, run, argv)
