"""Fine-tune the scorer on crop sets, going on exactly where a killed run stopped; `accelerate launch` works too."""

from typing import Any

from core.errors import InputError
from core.published import beside
from core.runs import RunFolder
from siglip.settings import CropView
from siglip.train.settings import TrainConfig


def run(config: TrainConfig, folder: RunFolder) -> dict[str, Any]:
    """Train and leave a complete checkpoint in `last/`, and in `best/` if there is a validation."""
    if config.scorer.views != [CropView.plain]:
        raise InputError("scorer.views: crops are mirrored in training by the recipe; views are for those who answer")
    from siglip.train.loop import train

    for crops in [config.crops, config.val_crops, config.candidates, config.candidate_crops, config.scorer.weights]:
        for path in [crops] if isinstance(crops, str) else crops or []:
            folder.add_parent(str(path))
    metrics = train(config, folder)
    return metrics | beside(config.published, metrics)


def main(argv: list[str] | None = None) -> None:
    """Run the command `siglip.train`."""
    from grounder.command import run_command

    run_command("siglip.train", TrainConfig, run, argv)
