"""An image's answers from the store alone: the half of the way that sweeps and exports share, without any model.

Shapes: N candidates of an image, K stored crops, M captions, D embedding width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.choosing import ChoosingConfig, choose, score_matrix
from core.errors import InputError
from core.values import Candidates


def embeddings_of(
    pixel_boxes_N4: NDArray[np.int32], stored_K4: NDArray[np.int32], embeddings_KD: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """(N, D) the stored embedding of each pixel box, or None when one is not stored."""
    place = {box: k for k, box in enumerate(map(tuple, stored_K4.tolist()))}
    rows = [place.get(box) for box in map(tuple, pixel_boxes_N4.tolist())]
    if any(row is None for row in rows):
        return None
    return embeddings_KD[np.asarray(rows, np.intp)] if rows else embeddings_KD[:0]


def answer(
    candidates: Candidates,
    embeddings_ND: NDArray[np.float32] | None,
    captions: Sequence[str],
    texts: Mapping[str, NDArray[np.float32]],
    calibration: Mapping[str, Any] | None,
    choosing: ChoosingConfig,
) -> tuple[NDArray[np.floating] | None, NDArray[np.intp]]:
    """(N, M) scores (None without a scorer) and (M,) chosen places of an image's captions.

    Raises InputError for a caption whose embedding is not stored.
    """
    scores = None
    if calibration is not None and len(candidates) and captions:
        lost = next((c for c in captions if c not in texts), None)
        if lost is not None or embeddings_ND is None:
            raise InputError(
                f"candidates: hold no embedding of {'a crop' if lost is None else repr(lost)}; export again"
            )
        scores = score_matrix(dict(calibration), embeddings_ND, np.stack([texts[c] for c in captions]))
    sigmoid = calibration is None or bool(calibration["sigmoid"])
    return scores, choose(scores, candidates.confidence, len(captions), choosing, sigmoid)
