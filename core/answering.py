"""An image's answers from what the models said of it: exports, sweeps, the server and `locate` share every line.

Shapes: N candidates of an image, K stored crops, M captions, V captions a scorer knows, D embedding width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.boxes import xyxy_to_ltwh
from core.choosing import Choice, ChoosingConfig, logit_matrix, scores_of_logits, select
from core.errors import InputError
from core.posterior import caption_logs
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
        if self.embeddings_ND is None:
            raise InputError("candidates: hold no embedding of a crop; export again")
        return scores_of(calibration, self.embeddings_ND, captions, texts)


@dataclass(frozen=True)
class Scores:
    """(N, M) what a scorer thinks of each candidate for each caption; `sigmoid`: probabilities, not raw logits.

    logs_NM2: `core.posterior.caption_logs`; None of a one-stage model, which has no logits.
    """

    matrix_NM: NDArray[np.floating]
    sigmoid: bool
    logs_NM2: NDArray[np.float64] | None = None

    def take(self, rows: NDArray[np.intp]) -> "Scores":
        """The scores of some of the candidates."""
        return Scores(self.matrix_NM[rows], self.sigmoid, None if self.logs_NM2 is None else self.logs_NM2[rows])


def scores_of(
    calibration: Mapping[str, Any],
    image_emb_ND: NDArray[np.floating],
    captions: Sequence[str],
    texts: Mapping[str, NDArray[np.float32]],
) -> Scores:
    """The scores of N crops for an image's captions, from the embeddings of both.

    calibration: as in `core.choosing.score_matrix`; its `known` names the captions of a training with the vocabulary
    loss, whose embeddings are wanted too. Raises InputError for a caption without embedding.
    """
    known = known_captions(calibration)
    lost = next((c for c in [*captions, *known] if c not in texts), None)
    if lost is not None:
        raise InputError(f"candidates: hold no embedding of {lost!r}; export again")
    sigmoid = bool(calibration["sigmoid"])
    if not len(image_emb_ND):
        empty = np.zeros((0, len(captions)))
        return Scores(empty, sigmoid, np.zeros((0, len(captions), 2)))
    logits_NM, known_NV = (
        logit_matrix(calibration, image_emb_ND, np.stack([texts[c] for c in some])) if some else None
        for some in (captions, known)
    )
    assert logits_NM is not None
    logs_NM2 = caption_logs(logits_NM, captions, sigmoid, known or None, known_NV)
    return Scores(scores_of_logits(logits_NM, sigmoid), sigmoid, logs_NM2)


def known_captions(calibration: Mapping[str, Any] | None) -> list[str]:
    """The captions that a scorer was trained to tell apart by the vocabulary loss; none of any other."""
    return [] if calibration is None else list(calibration.get("known") or [])


@dataclass(frozen=True)
class Answer:
    """What one image's captions got: the candidates, their scores, and each caption's choice."""

    candidates: Candidates
    scores: Scores | None
    choice: Choice

    @property
    def scores_NM(self) -> NDArray[np.floating] | None:  # noqa: N802 (the suffix says its shape)
        """(N, M) the candidates' scores for each caption, None without a scorer."""
        return None if self.scores is None else self.scores.matrix_NM

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

    def probabilities(self, caption: int) -> NDArray[np.float64]:
        """(N,) how likely each candidate shows the caption, 0..1: the scorer's own, else the detector's confidence.

        A scorer of raw logits, whose scores mean something beside one another only, gives shares of the candidates.
        """
        if self.scores is None:
            return np.clip(self.candidates.confidence.astype(np.float64), 0.0, 1.0)
        scores = self.scores.matrix_NM[:, caption].astype(np.float64)
        if not self.scores.sigmoid:
            shares = np.exp(scores - scores.max(initial=-np.inf))
            return np.asarray(shares / shares.sum(), np.float64)
        if self.scores.logs_NM2 is None:
            return np.clip(scores, 0.0, 1.0)
        return np.asarray(np.exp(self.scores.logs_NM2[:, caption, 0]), np.float64)

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
    confidence_N = candidates.confidence
    if scores is None:
        return Answer(candidates, None, select(None, confidence_N, num_captions, choosing))
    chosen = select(scores.matrix_NM, confidence_N, num_captions, choosing, scores.sigmoid, scores.logs_NM2)
    return Answer(candidates, scores, chosen)
