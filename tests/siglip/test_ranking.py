"""Ranking where targets and captions are several: by hand, on scores that are given."""

import numpy as np
import pytest

from siglip.ranking import ranking_metrics


class Told:
    """A scorer whose scores are given: crops and captions are numbers of rows and columns."""

    key, calibration = "told", {}

    def __init__(self, scores):
        self._scores = np.asarray(scores, float)

    def embed_images(self, crops):
        return np.asarray(crops)

    def embed_texts(self, captions):
        return np.arange(len(captions))

    def scores(self, images, texts):
        return self._scores[images][:, texts]


def test_a_target_with_two_captions_and_a_caption_with_two_targets():
    captions = ["drone", "jet", "plane", "drone"]  # crops 1 and 2 show one target, "drone" has crops 0 and 3
    targets, groups = ["i#0", "i#1", "i#1", "i#2"], ["i"] * 4
    scores = [[0.2, 0.1, 0.9], [0.1, 0.8, 0.3], [0.1, 0.8, 0.3], [0.7, 0.2, 0.1]]  # of drone, jet, plane
    told = ranking_metrics(Told(scores), [0, 1, 2, 3], captions, groups, targets)
    assert told["ranking_accuracy"] == pytest.approx(2 / 3)  # drone: crop 3, jet: crop 1, plane: crop 0 is wrong
    assert told["chance"] == pytest.approx((2 / 3 + 1 / 3 + 1 / 3) / 3)
    assert told["retrieval_at_1"] == pytest.approx(2 / 3)  # the target of crop 0 is taken for a plane
    assert (told["num_crops"], told["num_images"]) == (4, 1)


def test_without_shared_targets_every_crop_is_one_of_its_own():
    captions, groups = ["a", "b", "a"], ["x", "x", "y"]
    scores = [[0.9, 0.3], [0.3, 0.2], [0.1, 0.6]]
    told = ranking_metrics(Told(scores), [0, 1, 2], captions, groups)
    assert told["ranking_accuracy"] == pytest.approx(2 / 3)  # of image x both captions take crop 0
    assert told["chance"] == pytest.approx(2 / 3)
    assert told == ranking_metrics(Told(scores), [0, 1, 2], captions, groups, ["p", "q", "r"])
