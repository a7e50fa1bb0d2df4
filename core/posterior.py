"""The merit of a candidate as a posterior: what its crop says of the caption, and how sure the detector is of it.

Shapes: N candidates (or crops), M captions of the image, V captions that the scorer knows.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

TINY = 1e-300  # stands for a probability of zero, which has no logarithm


@dataclass
class PosteriorWeights:
    """Weights of the three logarithms that `choosing.combine=posterior` sums; `eval.fit` finds them for other data."""

    known: float = 0.4  # of log p(caption | all captions the scorer knows); of a sigmoid scorer its log probability
    own: float = 0.7  # of log p(caption | the image's own captions)
    confidence: float = 1.5  # of the logarithm of the detector's confidence


def check_weights(weights: PosteriorWeights, prefix: str) -> None:
    """InputError for a weight that is negative or no number, and for three zeros, by which nothing is chosen."""
    for name, value in asdict(weights).items():
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{prefix}{name}: {value} is not a weight, a number from 0 on")
    if not any(asdict(weights).values()):
        raise InputError(f"{prefix.rstrip('.')}: all three weights are 0, so that every candidate would be as good")


def caption_logs(
    logits_NM: NDArray[np.floating],
    captions: Sequence[str],
    sigmoid: bool,
    known: Sequence[str] | None = None,
    known_NV: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """(N, M, 2) log p(caption | what the scorer knows) and log p(caption | the image's own captions) of each crop.

    logits_NM: scale times cosine plus bias. known, known_NV: the captions of a training with the vocabulary loss and
    their logits, beside which stands "none of them" with logit 0; a caption outside them joins them. Without them the
    first is a sigmoid scorer's log sigmoid, or else the logit itself, whose normaliser nobody knows. A caption that
    stands twice among the image's own is one.
    """
    logits = np.asarray(logits_NM, np.float64)
    if known is not None and known_NV is not None:
        rest_N1 = np.logaddexp.reduce(np.asarray(known_NV, np.float64), axis=1, keepdims=True, initial=0.0)
        vocabulary = set(known)
        inside = np.asarray([caption in vocabulary for caption in captions], bool)
        first = logits - np.where(inside, rest_N1, np.logaddexp(rest_N1, logits))
    else:
        first = -np.logaddexp(0.0, -logits) if sigmoid else logits
    distinct = [place for place, caption in enumerate(captions) if captions.index(caption) == place]
    own = logits - np.logaddexp.reduce(logits[:, distinct], axis=1, keepdims=True, initial=-np.inf)
    return np.stack([first, own], axis=-1)


def posterior_features(logs_NM2: NDArray[np.float64], confidence_N: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, M, 3) the three logarithms that are weighed: those of `caption_logs` and the confidence's, 1 at most."""
    confidence = np.log(np.clip(np.asarray(confidence_N, np.float64), TINY, 1.0))
    spread = np.broadcast_to(confidence[:, None, None], (*logs_NM2.shape[:2], 1))
    return np.concatenate([logs_NM2, spread], axis=-1)


def posterior_merit(
    logs_NM2: NDArray[np.float64], confidence_N: NDArray[np.floating], weights: PosteriorWeights
) -> NDArray[np.float64]:
    """(N, M) weighted sums of the three logarithms, higher is better."""
    known, own, confidence = np.moveaxis(posterior_features(logs_NM2, confidence_N), -1, 0)
    # one product after the other: a matrix product rounds a candidate by how many stand beside it
    merit: NDArray[np.float64] = weights.known * known + weights.own * own + weights.confidence * confidence
    return merit


def assign_or_refuse(merit_NM: NDArray[np.float64], refusal: float | None) -> NDArray[np.intp]:
    """(M,) the candidates that all captions get together: one each, with the highest sum of merits.

    refusal: each caption has a dummy candidate worth this less than its own best merit; whoever gets the dummy keeps
    its best, shared or not: its target may have no candidate, and then pushing it to another box harms two captions.
    None: a caption keeps its best only where candidates are too few.
    """
    from scipy.optimize import linear_sum_assignment

    chosen: NDArray[np.intp] = merit_NM.argmax(axis=0)
    num_candidates, num_captions = merit_NM.shape
    table = merit_NM
    if refusal is not None:
        dummies = np.full((num_captions, num_captions), -np.inf)  # a dummy is its own caption's alone
        np.fill_diagonal(dummies, merit_NM.max(axis=0) - refusal)
        table = np.concatenate([merit_NM, dummies])
    rows, columns = linear_sum_assignment(table, maximize=True)
    real = rows < num_candidates
    chosen[columns[real]] = rows[real]
    return chosen
