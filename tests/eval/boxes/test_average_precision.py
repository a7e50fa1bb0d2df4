"""The twelve numbers against pycocotools, on sets with crowds, ties, empty images and odd limits."""

import numpy as np
import pytest

from core.errors import InputError
from eval.boxes.average_precision import (
    MATCH_IOUS,
    NAMES,
    Engine,
    precision_at_recalls,
    pycocotools_pair,
    twelve_numbers,
)
from eval.boxes.matching import match_by_confidence
from eval.boxes.table import make_table

LIMITS = ([1, 10, 100], [1, 2, 100], [5, 100, 300], [100, 200, 300], [10, 50, 100], [1, 100, 100])


def random_set(seed, crowds=True):
    """Truth and detections that share some boxes, on a grid coarse enough for ties of IoU and of score."""
    draw = np.random.default_rng(seed)
    num_images = int(draw.choice([1, 2, 4, 8]))
    num_true, num_found = int(draw.integers(1, 30)), int(draw.choice([3, 40, 140, 260]))
    scale = draw.choice([30, 90, 300])
    boxes = draw.integers(1, 12, (num_true, 4)) * scale / 4
    image = draw.integers(0, num_images, num_true)
    crowd = (draw.random(num_true) < 0.2) & crowds
    source = draw.integers(0, num_true, num_found)
    found = boxes[source] + draw.integers(-2, 3, (num_found, 4)) * scale / 16 * (draw.random((num_found, 1)) < 0.7)
    found[:, 2:] = np.maximum(found[:, 2:], 1)
    where = np.where(draw.random(num_found) < 0.85, image[source], draw.integers(0, num_images, num_found))
    score = np.round(draw.random(num_found), int(draw.integers(1, 4)))
    truth = make_table(image, boxes, np.ones(num_true), num_images)
    return truth, make_table(where, found, score, num_images), crowd


@pytest.mark.parametrize("part", range(5))
def test_hotcoco_equals_pycocotools_on_random_sets(part):
    for seed in range(100 * part, 100 * part + 100):
        truth, found, crowd = random_set(seed)
        limits = LIMITS[seed % len(LIMITS)]
        fast = twelve_numbers(truth, found, Engine.hotcoco, limits, crowd)
        reference = twelve_numbers(truth, found, Engine.pycocotools, limits, crowd)
        assert list(fast) == list(NAMES)
        np.testing.assert_allclose(list(fast.values()), list(reference.values()), rtol=0, atol=1e-12, err_msg=str(seed))


def test_our_matching_and_precision_equal_pycocotools_to_the_bit():
    from pycocotools.cocoeval import COCOeval

    for seed in range(60):
        truth, found, crowd = random_set(seed, crowds=False)
        judge = COCOeval(*pycocotools_pair(truth, found, crowd), "bbox")
        judge.params.maxDets = [1, 10, 1000]
        judge.evaluate()
        judge.accumulate()
        ordered = found.by_image_and_score()
        ours = precision_at_recalls(ordered.score, match_by_confidence(ordered, truth, MATCH_IOUS), len(truth))
        assert np.array_equal(ours, judge.eval["precision"][:, :, 0, 0, 2]), seed


def test_one_match_at_the_lowest_confidence_serves_every_confidence():
    truth, found, _ = random_set(7, crowds=False)
    everything = match_by_confidence(found, truth, MATCH_IOUS)
    for confidence in np.unique(found.score):
        kept = found.score >= confidence
        assert np.array_equal(match_by_confidence(found.take(kept), truth, MATCH_IOUS), everything[kept])


def test_matching_in_pieces_equals_matching_at_once(monkeypatch):
    truth, found, _ = random_set(11, crowds=False)
    at_once = match_by_confidence(found, truth, MATCH_IOUS)
    monkeypatch.setattr("eval.boxes.matching._PIECE", 1)
    assert np.array_equal(match_by_confidence(found, truth, MATCH_IOUS), at_once)


def test_no_detection_gives_zeros_and_minus_one_for_sizes_that_are_not_there():
    truth = make_table([0, 1], [[0, 0, 50, 50], [0, 0, 60, 40]], [1, 1], 3)  # both of COCO's medium size
    nothing = make_table([], [], [], 3)
    numbers = twelve_numbers(truth, nothing)
    assert {n for n, v in numbers.items() if v == 0} == {"AP", "AP50", "AP75", "APm", "AR1", "AR10", "AR100", "ARm"}
    assert {n for n, v in numbers.items() if v == -1} == {"APs", "APl", "ARs", "ARl"}
    far = make_table([2], [[500, 500, 9, 9]], [0.1], 3)  # one wrong box: what pycocotools itself says then
    assert twelve_numbers(truth, far, Engine.pycocotools) == numbers


def test_a_perfect_detector_scores_one():
    truth, _, _ = random_set(3, crowds=False)
    assert twelve_numbers(truth, truth)["AP"] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("limits", [[1, 10], [1, 10, 50], [100, 10, 1], [0, 1, 100]])
def test_limits_without_a_hundred_are_refused(limits):
    truth, found, _ = random_set(1)
    with pytest.raises(InputError, match="max_dets"):
        twelve_numbers(truth, found, max_dets=limits)
