"""The four stages as one object, built from settings; light to import."""

from typing import TYPE_CHECKING

from pipeline.settings import PipelineConfig
from siglip.settings import scorer_weights

if TYPE_CHECKING:
    from core.stages import Detector
    from pipeline.system import OnStage, Pipeline


def build_pipeline(
    config: PipelineConfig, on_stage: "OnStage | None" = None, detector: "Detector | None" = None
) -> "Pipeline":
    """Load the stages; `on_stage` is told of every batch of their work.

    detector: what stands in the detector's place, where that is not a detector of the settings.

    Raises InputError for missing weights, for cuts and shares out of range, and for a scorer trained on crops that were
    enlarged by another policy than this pipeline's, unless `scorer.any_policy` allows it.
    """
    from core.errors import InputError
    from core.stages import require_policy
    from detector.build import build_detector
    from pipeline.engines import with_engine
    from pipeline.system import Pipeline
    from siglip.build import build_scorer
    from upscale.build import build_upscaler

    _check(config)
    stages = with_engine(config)
    if detector is None:
        if config.onestage is not None and config.onestage.weights:
            raise InputError("onestage: only pipeline.export asks one-stage models; this command wants a detector")
        if config.detector is None:
            raise InputError("detector: must be given: a checkpoint, a run folder or an exported model")
        detector = build_detector(stages.detector or config.detector, config.device, config.engine)
    if config.scorer is None or not scorer_weights(config.scorer):
        return Pipeline(config, detector, None, None, on_stage)
    upscaler = build_upscaler(config.upscaler, config.device) if config.upscaler is not None else None
    scorer = build_scorer(stages.scorer or config.scorer, config.device, config.engine)
    here = "none" if upscaler is None else upscaler.policy
    require_policy(scorer.policy, here, "upscaler", config.scorer.any_policy)
    return Pipeline(config, detector, upscaler, scorer, on_stage)


def _check(config: PipelineConfig) -> None:
    from core.choosing import Combining, Select, check_choosing
    from core.errors import InputError, check_limits, check_shares

    check_shares(config, ("confidence", "nms_iou", "vote_iou"))
    check_shares(config.fusion, ("wbf_iou", "skip", "merge_threshold"), "fusion.")
    check_choosing(config.choosing)
    check_limits([config.max_det], "max_det")
    if config.reranker is not None and config.reranker.weights and config.choosing.select is Select.above:
        raise InputError("reranker: chooses one candidate or none; choosing.select=above answers with several")
    asks_one = config.onestage is not None and bool(config.onestage.weights)
    if config.choosing.combine is Combining.posterior and asks_one and not scorer_weights(config.scorer):
        raise InputError(
            "choosing.combine: posterior wants a scorer, which a one-stage model that answers alone is not"
        )
