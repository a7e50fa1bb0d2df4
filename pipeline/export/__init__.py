"""Run all stages over an annotation file once: answers, detections, and the store that sweeps replay."""

from typing import Any

from core.published import beside
from core.runs import RunFolder
from pipeline.export.settings import ExportConfig


def run(config: ExportConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `predictions.jsonl`, `detections.json` and `candidates/`; what a killed run stored is not asked again."""
    from pipeline.export.work import export

    metrics = export(config, folder)
    return metrics | beside(config.published, metrics) if metrics else metrics


def main(argv: list[str] | None = None) -> None:
    """Run the command `pipeline.export`."""
    from grounder.command import run_command

    run_command("pipeline.export", ExportConfig, run, argv)
