"""Settings of a training that cannot be meant together."""

from pathlib import Path

from core.errors import InputError
from siglip.objective import Form
from siglip.train.settings import BestMetric, LossConfig, Negatives, SameCaption, TrainConfig

OF_CROPS = (BestMetric.ranking_accuracy, BestMetric.retrieval_at_1)  # the others are of detected crops


def check(config: TrainConfig) -> None:
    """InputError for values that cannot be meant."""
    if config.images is not None and not (isinstance(config.crops, str) and Path(config.crops).is_file()):
        raise InputError(f"crops: {config.crops}: with images= it must be the annotation file of those images")
    whole = {"batch.size": config.batch.size, "batch.micro": config.batch.micro, "epochs": config.epochs}
    for name, value in whole.items():
        if value is not None and value < 1:
            raise InputError(f"{name}: {value} is not at least 1")
    if config.patience and config.val_crops is None and config.candidates is None:
        raise InputError("patience: needs val_crops or candidates to judge the epochs by")
    if len(config.betas) != 2:
        raise InputError(f"betas: {config.betas} are not two numbers")
    best, is_of_crops = config.best_metric.name, config.best_metric in OF_CROPS
    if config.candidates is not None and config.val_crops is None and is_of_crops:
        raise InputError(f"best_metric: {best} needs val_crops; candidates alone give detected_accuracy")
    if config.candidates is None and not is_of_crops:
        raise InputError(f"best_metric: {best} needs candidates")
    _check_loss(config.loss)


def _check_loss(loss: LossConfig) -> None:
    if not loss.words >= 0:
        raise InputError(f"loss.words: {loss.words} is no weight")
    if loss.form is Form.sigmoid:
        if loss.none:
            raise InputError("loss.none: goes with loss.form=vocabulary; pairs need no such answer")
        return
    of_pairs = {"loss.same_caption": loss.same_caption is SameCaption.positive,
                "loss.negatives": loss.negatives is Negatives.batch}  # fmt: skip
    for name, is_default in of_pairs.items():
        if not is_default:
            raise InputError(f"{name}: is of pairs; loss.form=vocabulary has none")
