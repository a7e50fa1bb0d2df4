"""AP50 of images that are drawn again, for its interval: what matches within an image is the same in every draw."""

import numpy as np
from numpy.typing import NDArray

from eval.boxes.average_precision import RECALLS
from eval.boxes.matching import match_by_confidence
from eval.boxes.table import BoxTable

MAX_DET = 100  # COCO's most boxes of an image


class DrawnAP50:
    """AP50 of one set of boxes over any draw of its I images; call it with (R, I) draws for (R,) values.

    A draw says how often each image counts. Of every image once it is pycocotools' AP50 with 100 boxes an image.
    """

    def __init__(self, found: BoxTable, truth: BoxTable) -> None:
        found = found.by_image_and_score()
        found = found.take(found.rank_within_image() < MAX_DET)
        order = np.argsort(-found.score, kind="stable")
        self._image_N = found.image[order]
        self._matched_N = match_by_confidence(found, truth, [0.5])[order, 0]
        self._num_true_I = np.bincount(truth.image, minlength=truth.num_images).astype(np.float64)

    def __call__(self, draws_RI: NDArray[np.float64]) -> NDArray[np.float64]:
        """See the class; 0 for a draw without targets."""
        return np.asarray([self._of(draws_I) for draws_I in draws_RI])

    @property
    def whole(self) -> float:
        """AP50 of every image once."""
        return self._of(np.ones(len(self._num_true_I)))

    def _of(self, draws_I: NDArray[np.float64]) -> float:
        num_true = draws_I @ self._num_true_I
        if not num_true:
            return 0.0
        weight_N = draws_I[self._image_N]
        true_N, all_N = np.cumsum(weight_N * self._matched_N), np.cumsum(weight_N)
        precision_N = np.divide(true_N, all_N, out=np.zeros_like(true_N), where=all_N > 0)
        best_N = np.maximum.accumulate(precision_N[::-1])[::-1]
        places = np.searchsorted(true_N / num_true, RECALLS, side="left")
        return float(np.append(best_N, 0.0)[places].mean())
