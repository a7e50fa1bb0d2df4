"""How far a scorer's scores keep the right crop from the others, and which captions it takes for one another.

Shapes: N candidates of an image, M captions.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.cuts import CutConfig
from eval.boxes.operating_point import ratio
from eval.sweep.points import NotCovered, Sweeper

BACKGROUND = "background"  # what a candidate shows that hits no described target


@dataclass(frozen=True)
class ScoredCaption:
    """One caption and what a scorer says of its image's candidates.

    scores_N: the scorer's own scale, higher is better. is_right_N: whether a candidate hits the caption's target.
    taken: the caption whose target the best-scored candidate hits, `BACKGROUND` for none.
    """

    image: str
    caption: str
    scores_N: NDArray[np.floating]
    is_right_N: NDArray[np.bool_]
    taken: str


def scored_captions(sweeper: Sweeper, detector: str, cut: CutConfig, scorer: str) -> list[ScoredCaption]:
    """Every caption of the truth whose image has candidates; NotCovered when a crop was never scored.

    detector, scorer: keys of the store's `proposals` and `embeddings`.
    """
    found: list[ScoredCaption] = []
    for image, crops in zip(sweeper.replay.images(detector), sweeper.replay.scores(scorer), strict=True):
        candidates, _ = sweeper.candidates(image, cut)
        if not len(candidates):
            continue
        scores = crops.of(candidates.boxes_xyxy)
        if scores is None:
            raise NotCovered(f"{image.name}: a candidate's crop was never scored by {scorer}")
        scores_NM = scores.matrix_NM
        hits_NM = image.hits_of(image.overlaps_of(candidates.boxes_xyxy))
        for place, caption in enumerate(image.captions):
            best = int(scores_NM[:, place].argmax())
            names = [image.captions[m] for m in np.flatnonzero(hits_NM[best])]
            taken = caption if caption in names else next(iter(names), BACKGROUND)
            found.append(ScoredCaption(image.name, caption, scores_NM[:, place], hits_NM[:, place], taken))
    return found


def separation(scored: Sequence[ScoredCaption]) -> dict[str, Any]:
    """How well right candidates stand above the others, over captions that have both.

    `above`: the chance that a right candidate scores higher than another of the same image (ties half), the area under
    the ROC curve caption by caption; `first`: how often the best-scored candidate is right.
    """
    both = [s for s in scored if 0 < s.is_right_N.sum() < len(s.is_right_N)]
    shares = []
    for caption in both:
        right, others = caption.scores_N[caption.is_right_N], caption.scores_N[~caption.is_right_N]
        apart = np.sign(right[:, None] - others)
        shares.append(float((apart + 1).mean() / 2))
    first = sum(bool(s.is_right_N[int(s.scores_N.argmax())]) for s in both)
    return {"captions": len(both), "above": ratio(sum(shares), len(both)), "first": ratio(first, len(both))}


def right_and_other_scores(scored: Sequence[ScoredCaption]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All scores of right candidates, and all others."""
    if not scored:
        return np.zeros(0), np.zeros(0)
    scores = np.concatenate([s.scores_N for s in scored]).astype(np.float64)
    is_right = np.concatenate([s.is_right_N for s in scored])
    return scores[is_right], scores[~is_right]


def confusion(scored: Sequence[ScoredCaption]) -> tuple[list[str], list[str], NDArray[np.intp]]:
    """(captions asked, captions taken, counts): how often each caption's answer showed which target.

    Rows are the captions asked; columns the same captions, then `BACKGROUND`.
    """
    asked = sorted({s.caption for s in scored})
    taken = [*sorted({s.taken for s in scored if s.taken != BACKGROUND} | set(asked)), BACKGROUND]
    counts = Counter((s.caption, s.taken) for s in scored)
    return asked, taken, np.asarray([[counts[a, t] for t in taken] for a in asked], np.intp)
