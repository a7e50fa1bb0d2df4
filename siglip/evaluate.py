"""Judge a scorer on a crop set: does each caption's own crop win among the crops of its image?"""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from core.runs import RunConfig, RunFolder
from siglip.scorer import ScorerConfig


@dataclass
class EvaluateConfig(RunConfig):
    """Settings of `siglip.evaluate`."""

    crops: str = MISSING  # crop set
    scorer: ScorerConfig = field(default_factory=ScorerConfig)
    device: str = "cpu"  # cpu, cuda, cuda:1


def run(config: EvaluateConfig, folder: RunFolder) -> dict[str, Any]:
    """Returns ranking accuracy, chance and retrieval."""
    from core.images import read_image
    from core.progress import progress
    from data.cropset import read_crop_set
    from siglip.ranking import ranking_metrics
    from siglip.scorer import build_scorer

    crop_set = read_crop_set(config.crops)
    scorer = build_scorer(config.scorer, config.device)
    folder.add_parent(config.crops)
    if config.scorer.weights:
        folder.add_parent(config.scorer.weights)
    images = [read_image(crop_set.path(crop)) for crop in progress(crop_set.crops, "reading crops")]
    return ranking_metrics(scorer, images, [c.caption for c in crop_set.crops], [c.image for c in crop_set.crops])


def main(argv: list[str] | None = None) -> None:
    """Run the command `siglip.evaluate`."""
    from grounder.command import run_command

    run_command("siglip.evaluate", EvaluateConfig, run, argv)


if __name__ == "__main__":
    main()
