"""Conditional logit: the weights by which the right candidates of each caption are the most probable of its own.

A caption's candidates have features x, and each is chosen with a probability proportional to exp(w . x). The weights
maximise the probability that a right one is chosen.

Shapes: T candidates of all captions one after the other, F features, Q captions, N candidates of a caption.
Source: McFadden, Conditional Logit Analysis of Qualitative Choice Behavior (1974).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RIDGE = 1e-2  # pull towards the beginning: of the order of one caption among hundreds, for what the data leave open


@dataclass(frozen=True)
class Choices:
    """Captions with right and wrong candidates."""

    features_TF: NDArray[np.float64]
    is_right_T: NDArray[np.bool_]
    starts_Q: NDArray[np.intp]  # where each caption's candidates begin
    images: tuple[str, ...]  # each caption's image

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen_Q: NDArray[np.bool_]) -> "Choices":
        """Some of the captions."""
        sizes = np.diff(np.append(self.starts_Q, len(self.is_right_T)))
        rows, kept = np.repeat(chosen_Q, sizes), sizes[chosen_Q]
        images = tuple(np.asarray(self.images, object)[chosen_Q])
        starts = np.cumsum(kept) - kept
        return Choices(self.features_TF[rows], self.is_right_T[rows], starts, images)


def gather(captions: Sequence[tuple[str, NDArray[np.float64], NDArray[np.bool_]]]) -> Choices:
    """(image, (N, F) features, (N,) right ones) of each caption; those that have both right and wrong ones tell."""
    telling = [c for c in captions if c[2].any() and not c[2].all()]
    sizes = np.asarray([len(right) for _, _, right in telling], np.intp)
    features = np.concatenate([f for _, f, _ in telling]) if telling else np.zeros((0, 0))
    is_right = np.concatenate([r for _, _, r in telling]) if telling else np.zeros(0, bool)
    return Choices(features, is_right, np.cumsum(sizes) - sizes, tuple(image for image, _, _ in telling))


def fit_weights(choices: Choices, start_F: Sequence[float]) -> NDArray[np.float64]:
    """(F,) weights of 0 or more, from `start_F`; there must be at least one caption."""
    from scipy.optimize import minimize

    start = np.asarray(start_F, np.float64)
    found = minimize(_loss, start, (choices, start), "L-BFGS-B", jac=True, bounds=[(0, None)] * len(start),
                     options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-8})  # fmt: skip
    return np.asarray(found.x, np.float64)


def _loss(
    weights_F: NDArray[np.float64], choices: Choices, start_F: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Minus the log probability of the right candidates, with its gradient."""
    merit_T = choices.features_TF @ weights_F
    share_T, total_Q = _shares(merit_T, choices.starts_Q)
    right_T, right_Q = _shares(np.where(choices.is_right_T, merit_T, -np.inf), choices.starts_Q)
    away_F = weights_F - start_F
    gradient_F = (share_T - right_T) @ choices.features_TF + 2 * RIDGE * away_F
    return float((total_Q - right_Q).sum() + RIDGE * away_F @ away_F), gradient_F


def _shares(
    merit_T: NDArray[np.float64], starts_Q: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(T,) softmax within each caption, and the (Q,) logarithms of the sums."""
    total_Q = np.logaddexp.reduceat(merit_T, starts_Q)
    sizes = np.diff(np.append(starts_Q, len(merit_T)))
    return np.exp(merit_T - np.repeat(total_Q, sizes)), total_Q
