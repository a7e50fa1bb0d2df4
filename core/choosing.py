"""From scores to answers: which candidate each caption of an image gets."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError, check_shares
from core.posterior import TINY, PosteriorWeights, assign_or_refuse, check_weights, posterior_merit

NOBODY = -1  # the place of no candidate


class ChoosingMethod(Enum):
    """How the captions of one image get their candidates."""

    best = "best"  # each caption its highest score, as published; two captions may share a box
    assignment = "assignment"  # all captions jointly, one candidate each, with the highest sum of scores


class Select(Enum):
    """How many boxes answer a caption."""

    best = "best"  # the one with the highest merit, as published
    above = "above"  # every one whose merit is at least `choosing.above`: several, one or none


class Combining(Enum):
    """How a score and the detector's confidence become what a candidate is chosen by."""

    sum = "sum"  # (1 - w) * score + w * confidence; an assignment has the highest sum
    product = "product"  # score ** (1 - w) * confidence ** w; an assignment has the highest product
    posterior = "posterior"  # weighted logarithms of what the crop says and of the confidence, by `choosing.posterior`


class Fallback(Enum):
    """What a caption gets when there is no scorer."""

    confident = "confident"  # the most confident candidate
    none = "none"  # no answer


@dataclass
class ChoosingConfig:
    """How the answer is chosen among an image's candidates."""

    method: ChoosingMethod = ChoosingMethod.best  # best (published), or assignment: one box per caption jointly
    confidence_weight: float = 0.0  # w: the confidence's share in a sum or product; 0 as published
    combine: Combining = Combining.sum  # sum: (1-w)*score + w*confidence; product: score^(1-w)*confidence^w; posterior
    posterior: PosteriorWeights = field(default_factory=PosteriorWeights)  # of combine=posterior, per logarithm
    refusal: float | None = None  # assignment: a caption keeps its best rather than lose more merit; null: never
    absent_below: float | None = None  # a best score below this means "not in this image"; null: never
    select: Select = Select.best  # best: one box a caption; above: every candidate with enough merit
    above: float = 0.5  # with select=above: the least merit, which is what `combine` makes of score and confidence
    fallback: Fallback = Fallback.confident  # without a scorer: the most confident candidate, or none


def check_choosing(config: ChoosingConfig, prefix: str = "choosing.") -> None:
    """InputError for settings out of range, and for a refusal where nothing is assigned."""
    check_shares(config, ("confidence_weight",), prefix)
    check_weights(config.posterior, f"{prefix}posterior.")
    is_number = isinstance(config.refusal, int | float)  # a sweep's list holds anything
    if config.refusal is not None and not (is_number and math.isfinite(config.refusal) and config.refusal >= 0):
        raise InputError(f"{prefix}refusal: {config.refusal} is not a difference of merits, a number from 0 on")
    if config.refusal is not None and config.method is not ChoosingMethod.assignment:
        raise InputError(f"{prefix}refusal: only an assignment can be refused; it needs {prefix}method=assignment")


def logit_matrix(
    calibration: Mapping[str, Any], image_emb_ND: NDArray[np.floating], text_emb_MD: NDArray[np.floating]
) -> NDArray[np.float32]:
    """(N, M) scale times cosine plus bias of N crops and M captions from their unit embeddings."""
    logits_NM = np.asarray(image_emb_ND, np.float32) @ np.asarray(text_emb_MD, np.float32).T
    return logits_NM * np.float32(calibration["scale"]) + np.float32(calibration["bias"])


def score_matrix(
    calibration: Mapping[str, Any], image_emb_ND: NDArray[np.floating], text_emb_MD: NDArray[np.floating]
) -> NDArray[np.floating]:
    """(N, M) scores of N crops and M captions from their unit embeddings.

    calibration: `scale`, `bias`, and `sigmoid`: true gives SigLIP's probabilities, false the raw logits of
    softmax-trained families.
    """
    return scores_of_logits(logit_matrix(calibration, image_emb_ND, text_emb_MD), bool(calibration["sigmoid"]))


def scores_of_logits(logits_NM: NDArray[np.floating], sigmoid: bool) -> NDArray[np.floating]:
    """(N, M) the logits' sigmoid, or the logits themselves, as in `score_matrix`."""
    if not sigmoid:
        return logits_NM
    return 1 / (1 + np.exp(-logits_NM.astype(np.float64)))  # float64: float32 would tie the least likely at 0


def merit(
    scores_NM: NDArray[np.floating],
    confidence_N: NDArray[np.floating],
    config: ChoosingConfig,
    sigmoid: bool,
    logs_NM2: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """(N, M) what candidates are compared by; of a product, the logarithm.

    logs_NM2: `core.posterior.caption_logs`, which a posterior wants; InputError where it has none. A confidence above
    1, which weighted box fusion can give by the reference's own rule, counts as 1: here it is a probability beside the
    scorer's.
    """
    confidence_N = np.minimum(np.asarray(confidence_N, np.float64), 1.0)
    if config.combine is Combining.posterior:
        if logs_NM2 is None:
            raise InputError("choosing.combine: posterior wants a scorer's logits; what a one-stage model is sure of "
                             "takes sum or product")  # fmt: skip
        return posterior_merit(logs_NM2, confidence_N, config.posterior)
    scores_NM = np.asarray(scores_NM, np.float64)
    if config.combine is Combining.product:
        confidence_N = np.log(np.maximum(confidence_N, TINY))
        # a raw logit is the logarithm of a softmax's probability already, but for what its caption's candidates share
        scores_NM = np.log(np.maximum(scores_NM, TINY)) if sigmoid else scores_NM
    weight = config.confidence_weight
    return (1 - weight) * scores_NM + weight * confidence_N[:, None]


def _least_merit(config: ChoosingConfig, sigmoid: bool) -> float:
    """`config.above` on the scale of `merit`."""
    is_logarithm = config.combine is not Combining.sum and sigmoid
    return float(np.log(max(config.above, TINY))) if is_logarithm else config.above


@dataclass(frozen=True)
class Choice:
    """What M captions get of N candidates.

    chosen_M: the place of each caption's best candidate, NOBODY where there is none. several: whether a caption may get
    several; then merit_NM is what they were chosen by and answered_NM which of them are the answer, None if N is 0.
    """

    chosen_M: NDArray[np.intp]
    several: bool = False
    merit_NM: NDArray[np.float64] | None = None
    answered_NM: NDArray[np.bool_] | None = None

    def places(self, caption: int) -> list[int]:
        """The candidates that answer a caption, the best first."""
        best = int(self.chosen_M[caption])
        if best == NOBODY or self.answered_NM is None or self.merit_NM is None:
            return [] if best == NOBODY else [best]
        order = np.argsort(-self.merit_NM[:, caption], kind="stable")
        return [int(n) for n in order if self.answered_NM[n, caption]]


def select(
    scores_NM: NDArray[np.floating] | None,
    confidence_N: NDArray[np.floating],
    num_captions: int,
    config: ChoosingConfig,
    sigmoid: bool = True,
    logs_NM2: NDArray[np.float64] | None = None,
) -> Choice:
    """The candidates that answer each caption: as `choose` one each, or with `select=above` all with enough merit.

    Without a scorer the merit is the detector's confidence, unless the fallback is `none`. `absent_below` empties an
    answer whose best score lies below it. Raises InputError for an assignment of several.
    """
    if config.select is Select.best:
        return Choice(choose(scores_NM, confidence_N, num_captions, config, sigmoid, logs_NM2))
    if config.method is ChoosingMethod.assignment:
        raise InputError("choosing.method: an assignment gives each caption one box; choosing.select=above needs best")
    if len(confidence_N) == 0:
        return Choice(np.full(num_captions, NOBODY, np.intp), several=True)
    confidence = np.asarray(confidence_N, np.float64)
    least = config.above
    if scores_NM is None:
        merit_NM = np.repeat(confidence[:, None], num_captions, axis=1)
        if config.fallback is Fallback.none:
            least = np.inf
    else:
        merit_NM = merit(scores_NM, confidence, config, sigmoid, logs_NM2)
        least = _least_merit(config, sigmoid)
    best = merit_NM.argmax(axis=0)
    answered_NM = merit_NM >= least
    if config.absent_below is not None and scores_NM is not None:
        answered_NM &= (np.asarray(scores_NM)[best, np.arange(num_captions)] >= config.absent_below)[None]
    return Choice(np.where(answered_NM.any(axis=0), best, NOBODY), True, merit_NM, answered_NM)


def choose(
    scores_NM: NDArray[np.floating] | None,
    confidence_N: NDArray[np.floating],
    num_captions: int,
    config: ChoosingConfig,
    sigmoid: bool = True,
    logs_NM2: NDArray[np.float64] | None = None,
) -> NDArray[np.intp]:
    """(M,) the place of each caption's candidate, NOBODY where there is none.

    scores_NM: N candidates by M captions, higher is better; None without a scorer, then the fallback answers every
    caption. confidence_N: the detector's, 0..1. sigmoid: whether scores are probabilities or raw logits, as in
    `score_matrix`. Ties go to the earlier candidate. With fewer candidates than captions
    an assignment leaves the worst captions to the best score, so that no caption goes unanswered.
    """
    if len(confidence_N) == 0:
        return np.full(num_captions, NOBODY, np.intp)
    if scores_NM is None:
        place = int(np.argmax(confidence_N)) if config.fallback is Fallback.confident else NOBODY
        return np.full(num_captions, place, np.intp)
    merit_NM = merit(scores_NM, confidence_N, config, sigmoid, logs_NM2)
    assigns = config.method is ChoosingMethod.assignment
    chosen = assign_or_refuse(merit_NM, config.refusal) if assigns else merit_NM.argmax(axis=0)
    if config.absent_below is not None:
        best = np.asarray(scores_NM)[chosen, np.arange(num_captions)]
        chosen = np.where(best < config.absent_below, NOBODY, chosen)
    return chosen
