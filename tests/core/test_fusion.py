"""Weighted boxes fusion against ensemble-boxes, and what it must do where that cannot serve as a judge."""

import warnings

import numpy as np
import pytest

from core.cuts import CutConfig, FusionConfig, FusionMethod, candidates_of
from core.errors import InputError
from core.fusion import SCORE_RULES, fuse_arrays, weighted_boxes_fusion, weights_by_name
from core.stages import View
from core.values import Candidates

Sets = tuple[list[np.ndarray], list[np.ndarray]]


def random_sets(rng: np.random.Generator) -> Sets:
    """Boxes of several views in 0..1: jittered round common targets, or anywhere; some on the edge or without
    area; in some sets many scores are equal."""
    num_views, num, ties = int(rng.integers(1, 6)), int(rng.integers(0, 80)), rng.random() < 0.3
    centre, size = rng.uniform(0, 1, (num, 2)), rng.uniform(0.01, rng.choice([0.05, 0.5]), (num, 2))
    boxes, scores = [], []
    for _ in range(num_views):
        seen = rng.random(num) < 0.8
        jitter = rng.normal(0, 0.15, (num, 4)) * np.tile(size, 2)
        view = (np.concatenate([centre - size / 2, centre + size / 2], axis=1) + jitter)[seen].clip(0, 1)
        view = np.concatenate([np.minimum(view[:, :2], view[:, 2:]), np.maximum(view[:, :2], view[:, 2:])], axis=1)
        boxes.append(view)
        confidence = rng.uniform(0.0001, 1, len(view))
        scores.append(confidence.round(1).clip(0.1) if ties else confidence)
    return boxes, scores


def stack(sets: Sets) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    boxes, scores = sets
    return np.concatenate(boxes).reshape(-1, 4), np.concatenate(scores), np.array([len(s) for s in scores])


def by_reference(sets: Sets, weights: np.ndarray, iou: float, skip: float, rule: str, overflow: bool) -> Sets:
    from ensemble_boxes import weighted_boxes_fusion as reference

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = [np.zeros(len(s)) for s in sets[1]]
        boxes, scores, _ = reference([b.tolist() for b in sets[0]], [s.tolist() for s in sets[1]], labels,
                                     weights=weights, iou_thr=iou, skip_box_thr=skip, conf_type=rule,
                                     allows_overflow=overflow)  # fmt: skip
    return boxes, scores


@pytest.mark.parametrize("rule", SCORE_RULES)
def test_equals_ensemble_boxes(rule: str) -> None:
    """1,000 sets in all; not 1e-6 apart but equal to the bit, because the running sums are taken the same way."""
    rng = np.random.default_rng(SCORE_RULES.index(rule))
    fused = 0
    for _ in range(250):
        sets = random_sets(rng)
        weights = rng.uniform(0.1, 2, len(sets[0])) if rng.random() < 0.5 else np.ones(len(sets[0]))
        iou, skip, overflow = rng.uniform(0.1, 0.9), float(rng.choice([0.0, 0.1])), bool(rng.random() < 0.3)
        boxes, confidence, votes = fuse_arrays(*stack(sets), weights, iou, skip, rule, overflow)
        expected_boxes, expected_scores = by_reference(sets, weights, iou, skip, rule, overflow)
        np.testing.assert_array_equal(confidence, expected_scores)
        np.testing.assert_array_equal(boxes, expected_boxes)
        assert ((votes >= 1) & (votes <= len(weights))).all()
        fused += len(boxes) < sum(len(s) for s in sets[1])
    assert fused > 150


def test_any_range_gives_the_same_answer() -> None:
    """Boxes of a 2000 px image, some beyond its edge, fuse as the same boxes scaled into 0..1 do."""
    rng = np.random.default_rng(5)
    for _ in range(50):
        sets = random_sets(rng)
        boxes, scores, counts = stack(sets)
        if not len(boxes):
            continue
        weights = np.ones(len(sets[0]))
        small = fuse_arrays(boxes * 0.5 + 0.2, scores, counts, weights, 0.55)
        large = fuse_arrays((boxes * 0.5 + 0.2) * 4096 - 1024, scores, counts, weights, 0.55)
        np.testing.assert_allclose((large[0] + 1024) / 4096, small[0], atol=1e-6)
        np.testing.assert_allclose(large[1], small[1], atol=1e-6)


def test_votes_weights_and_rules_by_hand() -> None:
    a = Candidates(np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32), np.array([0.8, 0.6], np.float32))
    b = Candidates(np.array([[0, 0, 10, 12]], np.float32), np.array([0.4], np.float32))
    fused = weighted_boxes_fusion([a, b], wbf_iou=0.5)
    np.testing.assert_allclose(fused.boxes_xyxy, [[0, 0, 10, (0.8 * 10 + 0.4 * 12) / 1.2], [50, 50, 60, 60]], rtol=1e-6)
    np.testing.assert_allclose(fused.confidence, [0.6, 0.3], rtol=1e-6)  # seen by one view of two: half its score
    both = weighted_boxes_fusion([a, b], wbf_iou=0.5, min_votes=2)
    np.testing.assert_allclose(both.confidence, [0.6], rtol=1e-6)
    highest = weighted_boxes_fusion([a, b], wbf_iou=0.5, score_rule="max")
    np.testing.assert_allclose(highest.confidence, [0.8, 0.6], rtol=1e-6)
    weighted = weighted_boxes_fusion([a, b], weights=[1, 3], wbf_iou=0.5)
    np.testing.assert_allclose(weighted.boxes_xyxy[0, 3], (0.8 * 10 + 1.2 * 12) / 2.0, rtol=1e-6)
    assert len(weighted_boxes_fusion([a, b], skip=0.5)) == 2
    for rule in SCORE_RULES:  # a view without weight moves no box, and agrees with nobody but itself
        silent = weighted_boxes_fusion([b, a, a], weights=[1, 0, 0], wbf_iou=0.5, score_rule=rule)
        np.testing.assert_array_equal(silent.boxes_xyxy, [[0, 0, 10, 12], [50, 50, 60, 60]])
        assert silent.confidence[0] > silent.confidence[1] == 0


def test_slices_get_their_own_weight_by_name() -> None:
    names = ["a/plain", "a/slice_0_0_9_9", "b/plain"]
    assert weights_by_name(names, {"*/slice_*": 0.5, "b/*": 2.0}) == [1.0, 0.5, 2.0]
    with pytest.raises(InputError, match=r"'c/\*' matches none"):
        weights_by_name(names, {"c/*": 2.0})
    full = Candidates(np.array([[0, 0, 10, 10]], np.float32), np.array([0.5], np.float32))
    part = Candidates(np.array([[0, 0, 10, 6]], np.float32), np.array([0.5], np.float32))
    views = [View("a/plain", full), View("a/slice_0_0_9_9", part)]
    heights = {}
    for weight in (1.0, 0.25):
        rule = FusionConfig(method=FusionMethod.wbf, view_weights={"*/slice_*": weight})
        heights[weight] = candidates_of(views, CutConfig(confidence=0.1, fusion=rule)).boxes_xyxy[0, 3]
    assert heights == {1.0: 8.0, 0.25: pytest.approx(9.2)}
    merged = candidates_of(views, CutConfig(0.1, fusion=FusionConfig(method=FusionMethod.greedy_nmm)))
    np.testing.assert_array_equal(merged.boxes_xyxy, [[0, 0, 10, 10]])


def test_wrong_settings_are_named() -> None:
    one = Candidates(np.array([[0, 0, 1, 1]], np.float32), np.array([0.5], np.float32))
    with pytest.raises(InputError, match="2 weights for 1 views"):
        weighted_boxes_fusion([one], weights=[1, 2])
    with pytest.raises(InputError, match="score_rule"):
        weighted_boxes_fusion([one], score_rule="mean")
    with pytest.raises(InputError, match="wbf_iou"):
        weighted_boxes_fusion([one], wbf_iou=1.5)
    with pytest.raises(InputError, match="no views"):
        weighted_boxes_fusion([])
    assert len(weighted_boxes_fusion([Candidates.empty(), Candidates.empty()])) == 0
