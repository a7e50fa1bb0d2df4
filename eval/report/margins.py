"""How far apart a caption's right and wrong candidates stand."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eval.answers.outcomes import HIT_IOU
from eval.attribution import Case

LEAST = 1e-12  # probabilities are kept this far from 0 and 1, whose log-odds are infinite


def margins(cases: Sequence[Case], is_sigmoid: bool) -> NDArray[np.float64]:
    """(M,) the best right candidate's score minus the best other's: below 0 the scorer prefers a wrong one.

    In log-odds where the scores are probabilities (`is_sigmoid`), so that two certain candidates stay apart. NaN where
    a caption has no right candidate, no other one, or no scores.
    """
    found = np.full(len(cases), np.nan)
    for place, case in enumerate(cases):
        if case.scores is None:
            continue
        right = case.overlaps > HIT_IOU
        if not right.any() or right.all():
            continue
        scores = np.asarray(case.scores, np.float64)
        if is_sigmoid:
            scores = np.clip(scores, LEAST, 1 - LEAST)
            scores = np.log(scores) - np.log1p(-scores)
        found[place] = scores[right].max() - scores[~right].max()
    return found
