"""How well a scorer tells an image's crops apart: ranking accuracy and retrieval.

Shapes: N crops, M captions.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from core.stages import Image, Scorer


class Opened(Sequence[Image]):
    """Crops that are opened when asked for, by number or by slice."""

    def __init__(self, count: int, open_crop: Callable[[int], Image]) -> None:
        self._count, self._open = count, open_crop

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: Any) -> Any:
        return [self._open(k) for k in range(*i.indices(self._count))] if isinstance(i, slice) else self._open(i)


def ranking_metrics(
    scorer: Scorer, images: Sequence[Image], captions: Sequence[str], groups: Sequence[str]
) -> dict[str, Any]:
    """`ranking_accuracy`: the share of captions whose own crop scores best among the crops of its image.

    groups: the image each crop comes from. `chance` is what picking a crop at random gives on the same groups,
    `retrieval_at_1` the share of crops whose caption scores best among all distinct captions of the set.
    """
    distinct = sorted(set(captions))
    place = {caption: m for m, caption in enumerate(distinct)}
    own = np.asarray([place[c] for c in captions])
    scores_NM = scorer.scores(scorer.embed_images(images), scorer.embed_texts(distinct))
    members: dict[str, list[int]] = {}
    for n, group in enumerate(groups):
        members.setdefault(group, []).append(n)
    hits = 0
    for rows in members.values():
        best = scores_NM[rows][:, own[rows]].argmax(axis=0)
        hits += int((best == np.arange(len(rows))).sum())
    return {
        "ranking_accuracy": hits / len(captions),
        "chance": len(members) / len(captions),
        "retrieval_at_1": float((scores_NM.argmax(axis=1) == own).mean()),
        "num_crops": len(captions),
        "num_images": len(members),
    }
