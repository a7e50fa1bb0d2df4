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
    scorer: Scorer,
    images: Sequence[Image],
    captions: Sequence[str],
    groups: Sequence[str],
    targets: Sequence[str] | None = None,
) -> dict[str, Any]:
    """`ranking_accuracy`: the share of captions for which a crop of a target of theirs scores best in its image.

    groups: the image each crop comes from. targets: what each crop shows, by name; crops of one name are one target
    with several captions, and None says that every crop shows another. A caption of several targets counts once an
    image. `chance` is what picking a target at random gives, `retrieval_at_1` the share of targets for which a caption
    of theirs scores best among all distinct captions of the set.
    """
    distinct = sorted(set(captions))
    place = {caption: m for m, caption in enumerate(distinct)}
    names = [str(n) for n in range(len(captions))] if targets is None else list(targets)
    scores_NM = scorer.scores(scorer.embed_images(images), scorer.embed_texts(distinct))
    described: dict[str, set[int]] = {}  # of each target its captions
    first: dict[str, dict[str, int]] = {}  # of each image its targets, each with its first crop
    for n, (group, name) in enumerate(zip(groups, names, strict=True)):
        described.setdefault(name, set()).add(place[captions[n]])
        first.setdefault(group, {}).setdefault(name, n)
    hits = asked = 0
    chance = 0.0
    for shown in first.values():
        own, rows = list(shown), list(shown.values())
        wanted = sorted(set.union(*(described[name] for name in own)))
        best = scores_NM[rows][:, wanted].argmax(axis=0)
        hits += sum(m in described[own[n]] for m, n in zip(wanted, best.tolist(), strict=True))
        asked += len(wanted)
        chance += sum(len(described[name]) for name in own) / len(own)
    top = {name: int(scores_NM[n].argmax()) for shown in first.values() for name, n in shown.items()}
    return {
        "ranking_accuracy": hits / asked,
        "chance": chance / asked,
        "retrieval_at_1": float(np.mean([m in described[name] for name, m in top.items()])),
        "num_crops": len(captions),
        "num_images": len(first),
    }
