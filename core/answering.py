"""An image's answers from what the models said of it: exports, sweeps, the server and `locate` share every line.

Shapes: N candidates of an image, K stored crops, M captions, D embedding width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.boxes import xyxy_to_ltwh
from core.choosing import Choice, ChoosingConfig, score_matrix, select
from core.errors import InputError
from core.values import Candidates, FoundBox, Prediction


@dataclass(frozen=True)
class Seen:
    """What the models said of one image: its candidates and their crops' embeddings (None without a scorer)."""

    candidates: Candidates
    embeddings_ND: NDArray[np.float32] | None = None

    def scores(
        self, captions: Sequence[str], texts: Mapping[str, NDArray[np.float32]], calibration: Mapping[str, Any] | None
    ) -> "Scores | None":
        """The candidates' scores for captions, whose embeddings are `texts`; None without a calibration (no scorer).

        Raises InputError for a caption or a crop whose embedding is not stored.
        """
        if calibration is None or not len(self.candidates) or not captions:
            return None
        lost = next((c for c in captions if c not in texts), None)
        if lost is not None or self.embeddings_ND is None:
            raise InputError(
                f"candidates: hold no embedding of {'a crop' if lost is None else repr(lost)}; export again"
            )
        matrix_NM = score_matrix(dict(calibration), self.embeddings_ND, np.stack([texts[c] for c in captions]))
        return Scores(matrix_NM, bool(calibration["sigmoid"]))


@dataclass(frozen=True)
class Scores:
    """(N, M) what a scorer thinks of each candidate for each caption; `sigmoid`: probabilities, not raw logits."""

    matrix_NM: NDArray[np.floating]
    sigmoid: bool


@dataclass(frozen=True)
class Answer:
    """What one image's captions got: the candidates, their scores, and each caption's choice."""

    candidates: Candidates
    scores_NM: NDArray[np.floating] | None
    choice: Choice

    @property
    def chosen_M(self) -> NDArray[np.intp]:  # noqa: N802 (the suffix says its shape)
        """(M,) the place of each caption's best candidate, NOBODY where there is none."""
        return self.choice.chosen_M

    def predictions(
        self, image: str, captions: Sequence[str], ids: Sequence[str | None] | None = None
    ) -> list[Prediction]:
        """The answers as predictions, in the captions' order; ids: of the captions' entries."""
        boxes = xyxy_to_ltwh(self.candidates.boxes_xyxy.astype(np.float64)).tolist()
        predictions = []
        for place, (caption, key) in enumerate(zip(captions, ids or [None] * len(captions), strict=True)):
            found = [self._found(boxes[n], n, place) for n in self.choice.places(place)]
            best = found[0] if found else None
            predictions.append(
                Prediction(image, caption, None, id=key) if best is None else
                Prediction(image, caption, best.box_ltwh, best.score, best.confidence, tuple(found[1:]), key)
            )  # fmt: skip
        return predictions

    def _found(self, box_ltwh: list[float], n: int, caption: int) -> FoundBox:
        left, top, width, height = box_ltwh
        score = None if self.scores_NM is None else float(self.scores_NM[n, caption])
        return FoundBox((left, top, width, height), score, float(self.candidates.confidence[n]))


def embeddings_of(
    pixel_boxes_N4: NDArray[np.int32], stored_K4: NDArray[np.int32], embeddings_KD: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """(N, D) the stored embedding of each pixel box, or None when one is not stored."""
    place = {box: k for k, box in enumerate(map(tuple, stored_K4.tolist()))}
    rows = [place.get(box) for box in map(tuple, pixel_boxes_N4.tolist())]
    if any(row is None for row in rows):
        return None
    return embeddings_KD[np.asarray(rows, np.intp)] if rows else embeddings_KD[:0]


def answer(candidates: Candidates, scores: Scores | None, num_captions: int, choosing: ChoosingConfig) -> Answer:
    """What an image's captions get; without scores (no scorer) the fallback answers."""
    matrix_NM, sigmoid = (None, True) if scores is None else (scores.matrix_NM, scores.sigmoid)
    return Answer(candidates, matrix_NM, select(matrix_NM, candidates.confidence, num_captions, choosing, sigmoid))
