"""A few validation images with what the scorer in training answers, for the eye.

Shapes: N crops of an image, M captions of an image.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from core.stages import Image
from eval.live.page import Shown
from siglip.crops import Crops
from siglip.detected import DetectedCrops
from siglip.train.validation import LiveScorer

IMAGES, CROPS, CAPTIONS = 4, 16, 6  # at most: images, crops of each, captions of each

# of an image: its N crops, its M captions, and (N, M) whether a crop is a right answer to a caption
Asked = tuple[list[Image], list[str], NDArray[np.bool_]]


def answers(
    scorer: LiveScorer, crops: Crops | None, detected: DetectedCrops | None, model: torch.nn.Module
) -> list[Shown]:
    """The best-scored crop for each caption of the first images, among detected crops where there are some.

    All processes call it together.
    """
    source = _of_candidates(detected) if detected is not None else _of_crops(crops) if crops is not None else ()
    asked = list(islice(source, IMAGES))
    if not asked:
        return []
    training = model.training
    model.eval()
    try:
        image_emb_ND = scorer.embed_images([image for images, _, _ in asked for image in images])
        text_emb_MD = scorer.embed_texts([caption for _, captions, _ in asked for caption in captions])
    finally:
        model.train(training)
    shown, n, m = [], 0, 0
    for images, captions, right_NM in asked:
        scores_NM = scorer.scores(image_emb_ND[n : n + len(images)], text_emb_MD[m : m + len(captions)])
        for place, (caption, best) in enumerate(zip(captions, scores_NM.argmax(axis=0).tolist(), strict=True)):
            text = f"{caption} ({scores_NM[best, place]:.2g})"
            shown.append(Shown(images[best], text, bool(right_NM[best, place])))
        n, m = n + len(images), m + len(captions)
    return shown


def _of_crops(crops: Crops) -> Iterator[Asked]:
    """Each image's true crops, one a target."""
    for name in dict.fromkeys(crops.images):
        own = [i for i, image in enumerate(crops.images) if image == name]
        targets = list(dict.fromkeys(crops.targets[i] for i in own))[:CROPS]
        captions = list(dict.fromkeys(crops.captions[i] for i in own if crops.targets[i] in targets))[:CAPTIONS]
        described = {(crops.targets[i], crops.captions[i]) for i in own}
        right_NM = np.asarray([[(target, caption) in described for caption in captions] for target in targets])
        first = [next(i for i in own if crops.targets[i] == target) for target in targets]
        yield [crops.open(i) for i in first], captions, right_NM


def _of_candidates(detected: DetectedCrops) -> Iterator[Asked]:
    """Each image's candidates, the surest first."""
    crops: Sequence[Image] = detected.crops()
    start = 0
    for image, boxes in zip(detected.images, detected.boxes, strict=True):
        kept, described = min(len(boxes), CROPS), np.flatnonzero(image.described_MG.any(axis=1))[:CAPTIONS]
        if kept and len(described):
            right_NM = image.hits_of(image.overlaps_of(boxes))[:kept, described]
            yield list(crops[start : start + kept]), [image.captions[m] for m in described], right_NM
        start += len(boxes)
