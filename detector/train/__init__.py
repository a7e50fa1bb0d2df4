"""Train a detector on a YOLO tree, in stages, going on exactly where a killed run stopped."""

from core.published import beside
from core.runs import RunFolder
from detector.train.settings import TrainConfig


def run(config: TrainConfig, folder: RunFolder) -> dict[str, object]:
    """Train every stage that is not complete; `weights/best.pt`, `last.pt` and `results.csv` are the last one's.

    Returns the metrics of the best epoch at the last stage's resolution, and seconds. Raises InputError.
    """
    from detector.train.stages import train_stages

    metrics = train_stages(config, folder)
    return metrics | beside(config.published, metrics)


def main(argv: list[str] | None = None) -> None:
    """Run the command `detector.train`."""
    from grounder.command import run_command

    run_command("detector.train", TrainConfig, run, argv)
