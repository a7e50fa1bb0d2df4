"""Precision, recall and F1 at one confidence, and the published figures from their true counts."""

import numpy as np
import pytest

from eval.boxes.operating_point import (
    best_f1,
    confidence_curves,
    cut_table,
    operating_point,
    published_ratios,
    thinned,
)
from eval.boxes.table import make_table

# facts of the published log: true positives, the denominator it used, the predictions where known, and its two figures
PUBLISHED = [
    (1223, 2400, None, "0.5095833333333334", None),
    (1770, 2400, None, "0.7375", None),
    (1807, 2400, None, "0.7529166666666667", None),
    (1609, 2368, None, "0.6794763513513513", None),
    (2062, 2396, 4359, "0.8606010016694491", "0.47304427621013995"),
    (1911, 2388, 2346, "0.800251256281407", "0.8145780051150895"),
    (1913, 2388, 2363, "0.8010887772194305", "0.8095641134151502"),
    (1922, 2388, 2403, "0.804857621440536", "0.7998335414065751"),
    (1938, 2388, 2570, "0.8115577889447236", "0.7540856031128405"),
    (1753, 2376, 1927, "0.7377946127946128", "0.909704203425013"),
]


def set_with(num_tp, num_images_with, num_predictions):
    """600 images of four boxes; `num_tp` right boxes and the rest wrong, spread over `num_images_with` images."""
    image = np.repeat(np.arange(600), 4)
    boxes = np.stack([np.tile([0, 100, 200, 300], 600), np.zeros(2400), np.full(2400, 40), np.full(2400, 40)], axis=1)
    truth = make_table(image, boxes, np.ones(2400), 600)
    order = np.argsort(np.arange(2400) % 4, kind="stable")  # every image's first box before any image's second
    order = order[image[order] < num_images_with][:num_tp]
    wrong = num_predictions - num_tp
    wrong_image = np.resize(np.arange(num_images_with), wrong)
    wrong_boxes = np.tile([600.0, 600.0, 40.0, 40.0], (wrong, 1))
    found = make_table(np.append(image[order], wrong_image), np.concatenate([boxes[order], wrong_boxes]),
                       np.full(num_predictions, 0.9), 600)  # fmt: skip
    return found, truth


@pytest.mark.parametrize(("num_tp", "denominator", "num_predictions", "over_truth", "over_predictions"), PUBLISHED)
def test_the_published_figures_to_the_last_digit(num_tp, denominator, num_predictions, over_truth, over_predictions):
    found, truth = set_with(num_tp, denominator // 4, num_predictions or max(num_tp, denominator))
    ratios = published_ratios(found, truth, published_denominators=True)
    assert repr(ratios["map50_over_truth"]) == repr(float(over_truth))
    if over_predictions is not None:
        assert repr(ratios["map50_over_predictions"]) == repr(float(over_predictions))
    assert ratios["recall_by_overlap"] == num_tp / 2400
    assert published_ratios(found, truth)["map50_over_truth"] == num_tp / 2400


def test_matching_by_overlap_takes_the_closest_pair_first():
    truth = make_table([0, 0], [[0, 0, 10, 10], [4, 0, 10, 10]], [1, 1], 1)
    found = make_table([0, 0], [[1, 0, 10, 10], [0, 0, 10, 10]], [0.9, 0.8], 1)
    # by confidence the first box takes the first true box and the second is left with 6/14; by overlap the perfect
    # pair goes first and the other finds 7/13 with the second true box
    assert operating_point(found, truth)["num_tp"] == 1
    assert published_ratios(found, truth)["num_tp_by_overlap"] == 2


def test_counts_and_rates():
    truth = make_table([0, 0, 1], [[0, 0, 10, 10], [50, 0, 10, 10], [0, 0, 10, 10]], [1, 1, 1], 2)
    found = make_table([0, 0, 1], [[0, 0, 10, 10], [0, 0, 10, 10], [30, 0, 10, 10]], [0.9, 0.8, 0.3], 2)
    point = operating_point(found, truth)
    assert (point["num_tp"], point["num_predictions"], point["num_truth"]) == (1, 3, 3)
    assert point["precision"] == pytest.approx(1 / 3)
    assert len(cut_table(found, 0.5)) == 2
    assert len(cut_table(found, 0.0, nms_iou=0.5)) == 2
    assert cut_table(found, 0.95, nms_iou=0.5).num_images == 2


def test_an_iou_of_exactly_the_threshold_matches():
    truth = make_table([0], [[0, 0, 10, 10]], [1], 1)
    half = make_table([0], [[0, 0, 10, 5]], [0.9], 1)
    assert operating_point(half, truth, 0.5)["num_tp"] == 1


def test_best_f1_is_the_best_over_every_confidence():
    draw = np.random.default_rng(0)
    truth = make_table(np.arange(40) // 4, draw.integers(0, 50, (40, 4)) * 8 + 8, np.ones(40), 10)
    found = make_table(np.arange(80) // 8, np.repeat(truth.box_ltwh, 2, axis=0) + draw.normal(0, 9, (80, 4)),
                       np.round(draw.random(80), 1), 10)  # fmt: skip
    best = best_f1(confidence_curves(found, truth))
    alone = {c: operating_point(cut_table(found, c), truth)["f1"] for c in np.unique(found.score)}
    assert best["best_f1"] == pytest.approx(max(alone.values()), abs=1e-15)
    assert alone[best["best_f1_confidence"]] == pytest.approx(best["best_f1"], abs=1e-15)


def test_nothing_found_has_zero_rates_and_empty_curves():
    truth = make_table([0], [[0, 0, 10, 10]], [1], 1)
    nothing = make_table([], [], [], 1)
    assert operating_point(nothing, truth)["f1"] == 0
    curves = confidence_curves(nothing, truth)
    assert best_f1(curves) == {"best_f1": 0.0, "best_f1_confidence": 0.0}
    assert thinned(curves)["recall"] == []
    assert published_ratios(nothing, truth, published_denominators=True)["map50_over_truth"] == 0


def test_thinned_curves_keep_the_best_f1():
    """A report marks it on the curve and names it beside; the two must be one number."""
    rng = np.random.default_rng(0)
    num = 5000
    f1 = rng.uniform(0, 0.5, num)
    f1[3217] = 0.9
    curves = {"confidence": np.sort(rng.uniform(size=num))[::-1], "precision": f1, "recall": f1, "f1": f1}
    points = thinned(curves)
    assert max(points["f1"]) == 0.9
    assert len(points["f1"]) <= 401
