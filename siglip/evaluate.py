"""Judge a scorer: does each caption's own crop win among the crops of its image, true ones and detected ones?"""

from dataclasses import dataclass, field
from typing import Any

from core.errors import InputError
from core.runs import RunConfig, RunFolder
from core.weights import WeightsConfig
from data.formats.source import PartConfig
from siglip.build import build_scorer
from siglip.settings import ScorerConfig, scorer_weights


@dataclass
class EvaluateConfig(WeightsConfig, PartConfig, RunConfig):
    """Settings of `siglip.evaluate`."""

    crops: Any = None  # crop set, or a list of them: folder, published index, or a data set's hub name
    candidates: str | None = None  # run of pipeline.export, or its candidates/: detected crops to rank as well
    candidate_crops: str | None = None  # with candidates: the same crops enlarged, see siglip.candidates; null: as cut
    annotations: str | None = None  # with candidates: the true boxes, or another tool's labels; null: the run's own
    images: str | None = None  # with candidates: folder of the images; null: the run's own
    detectors: str = ""  # with candidates of several detectors: what a key begins with, or several joined by +
    scorer: ScorerConfig = field(default_factory=ScorerConfig)
    device: str = "cpu"  # cpu, cuda, cuda:1


def run(config: EvaluateConfig, folder: RunFolder) -> dict[str, Any]:
    """Returns ranking accuracy, chance and retrieval of true crops, and the ranking of detected ones.

    Any scorer that `build_scorer` makes, fine-tuned, zero-shot or merged. Raises InputError, also for crops that were
    enlarged by another policy than the scorer was trained on unless `scorer.any_policy` allows it.
    """
    from core.stages import require_policy
    from data.sources import settle
    from siglip.crops import read_crops
    from siglip.detected import detected_metrics, read_detected
    from siglip.ranking import Opened, ranking_metrics

    if config.crops is None and config.candidates is None:
        raise InputError("crops: give a crop set, candidates of a pipeline.export run, or both")
    settle(config, folder)
    crops = None if config.crops is None else read_crops(config.crops)
    detected = None
    if config.candidates is not None:
        detected = read_detected(
            config.candidates, config.annotations, config.images, config.detectors, config.candidate_crops
        )
    scorer = build_scorer(config.scorer, config.device)
    for path in [
        *_listed(config.crops),
        *_listed(config.candidates),
        *_listed(config.candidate_crops),
        *scorer_weights(config.scorer),
    ]:
        folder.add_parent(path)
    metrics: dict[str, Any] = {}
    if crops is not None:
        require_policy(scorer.policy, crops.policy, "crops", config.scorer.any_policy)
        metrics |= ranking_metrics(scorer, Opened(len(crops), crops.open), crops.captions, crops.images, crops.targets)
    if detected is not None:
        require_policy(scorer.policy, detected.policy, "candidates", config.scorer.any_policy)
        metrics |= detected_metrics(scorer, detected)
    return metrics


def _listed(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def main(argv: list[str] | None = None) -> None:
    """Run the command `siglip.evaluate`."""
    from grounder.command import run_command

    run_command("siglip.evaluate", EvaluateConfig, run, argv)


if __name__ == "__main__":
    main()
