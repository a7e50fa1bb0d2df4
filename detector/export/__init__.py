"""Export a trained detector to ONNX or TensorRT, and check that it still says the same."""

from typing import Any

from core.runs import RunFolder
from detector.export.settings import ExportConfig


def run(config: ExportConfig, folder: RunFolder) -> dict[str, Any]:
    """Write the exported model into the run folder and compare its candidates with the original's.

    Returns the largest differences of boxes (input pixels) and confidences. Raises InputError.
    """
    from detector.export.writing import export_and_compare

    return export_and_compare(config, folder)


def main(argv: list[str] | None = None) -> None:
    """Run the command `detector.export`."""
    from grounder.command import run_command

    run_command("detector.export", ExportConfig, run, argv)
