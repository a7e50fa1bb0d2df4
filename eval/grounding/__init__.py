"""Score predictions against annotations: the share of captions whose box overlaps the true one by more than half."""

from typing import Any

from core.runs import RunFolder
from eval.grounding.settings import GroundingConfig


def run(config: GroundingConfig, folder: RunFolder) -> dict[str, Any]:
    """Score the file and write `outcomes.jsonl`, one line a caption, beside the metrics."""
    from eval.grounding.judging import judge

    return judge(config, folder)


def main(argv: list[str] | None = None) -> None:
    """Run the command `eval.grounding`."""
    from grounder.command import run_command

    run_command("eval.grounding", GroundingConfig, run, argv)
