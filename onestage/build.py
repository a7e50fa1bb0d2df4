"""The one place that builds a one-stage model; light to import."""

from typing import TYPE_CHECKING, Any

from core.errors import InputError, check_shares
from onestage.settings import Coordinates, OneStageConfig, OneStageFamily, RerankerConfig, is_url

if TYPE_CHECKING:
    from core.stages import OneStage
    from onestage.reranking import Reranker

FAMILIES = {"sam3": OneStageFamily.sam3, "sam3_video": OneStageFamily.sam3, "sam3_lite_text": OneStageFamily.sam3,
            "florence2": OneStageFamily.florence2}  # fmt: skip


def build_onestage(config: OneStageConfig, device: str = "cpu") -> "OneStage":
    """The model of these settings on `device`.

    Raises InputError for weights that are missing, broken or of a class that answers no captions.
    """
    if not config.weights:
        raise InputError("onestage.weights: must be given: a checkpoint folder, a hub name or a server's URL")
    check_shares(config, ("floor",), "onestage.")
    family = family_of(config)
    if family is OneStageFamily.yolo:
        raise InputError(f"{config.weights}: an open-vocabulary YOLO is opened by the pipeline, which knows detectors")
    if family is OneStageFamily.server:
        from onestage.server import ServerModel

        check_server(config, "onestage")
        if config.coordinates is Coordinates.resized and (not config.resized or len(config.resized) != 2):
            raise InputError("onestage.resized: must be [width, height] for coordinates=resized")
        return ServerModel(config)
    return _load(family, config, device)


def _load(family: OneStageFamily, config: OneStageConfig, device: str) -> "OneStage":
    if family is OneStageFamily.sam3:
        from onestage import sam3

        return sam3.load(config, device)
    if family is OneStageFamily.florence2:
        from onestage import florence2

        return florence2.load(config, device)
    from onestage import zero_shot

    return zero_shot.load(config, device)


def build_reranker(config: RerankerConfig) -> "Reranker":
    """The re-ranker of these settings; InputError for a URL or numbers that make no sense."""
    from onestage.reranking import Reranker

    if not is_url(config.weights):
        raise InputError(f"reranker: {config.weights!r} is no URL of an OpenAI-compatible server")
    check_server(config, "reranker")
    if not 1 <= config.best <= 9:
        raise InputError(f"reranker.best: {config.best} is not within 1..9")
    if config.side < 16 or config.margin < 0:
        raise InputError(
            f"reranker.side, reranker.margin: {config.side} and {config.margin} must be 16 px and 0 or more"
        )
    return Reranker(config)


def check_server(config: Any, where: str) -> None:
    """InputError for what no server can be asked with."""
    if not config.model:
        raise InputError(f"{where}.model: must be given: the model's name at the server")
    for name in ("parallel", "tries", "max_tokens"):
        if getattr(config, name) < 1:
            raise InputError(f"{where}.{name}: {getattr(config, name)} is not at least 1")
    if config.timeout_s <= 0:
        raise InputError(f"{where}.timeout_s: {config.timeout_s} is not above 0")


def family_of(config: OneStageConfig) -> OneStageFamily:
    """What answers: the family of the settings, or what the weights tell; InputError where they tell nothing."""
    if config.family is not OneStageFamily.auto:
        return config.family
    if is_url(config.weights):
        return OneStageFamily.server
    if str(config.weights).endswith(".pt"):
        return OneStageFamily.yolo
    from onestage.weights import kind_of

    return FAMILIES.get(kind_of(config), OneStageFamily.zero_shot)
