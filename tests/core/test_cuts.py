import numpy as np

from core.cuts import CutConfig, FusionConfig, FusionMethod, candidates_of, cut_and_fuse, most_confident
from core.fusion import weighted_boxes_fusion
from core.stages import View
from core.suppression import cut, vote
from core.values import Candidates


def view(name, rows):
    array = np.asarray(rows, np.float32).reshape(-1, 5)
    return View(name, Candidates(array[:, :4], array[:, 4]))


A = view("a", [[0, 0, 10, 10, 0.9], [1, 1, 11, 11, 0.6], [40, 40, 50, 50, 0.3], [70, 70, 80, 80, 0.05]])
B = view("b", [[0, 0, 10, 11, 0.8], [90, 90, 99, 99, 0.4]])


def test_one_view_is_cut_and_left_alone():
    config = CutConfig(confidence=0.2, nms_iou=0.5, max_det=None)
    found = candidates_of([A], config)
    expected = cut(A.candidates, 0.2, 0.5, None)
    assert np.array_equal(found.boxes_xyxy, expected.boxes_xyxy)
    assert found.confidence.tolist() == np.float32([0.9, 0.3]).tolist()


def test_views_are_cut_before_they_are_fused():
    config = CutConfig(confidence=0.2, nms_iou=0.5, max_det=1)
    found = candidates_of([A, B], config)
    assert found.confidence.tolist() == np.float32([0.9]).tolist()
    config.fusion.method = FusionMethod.none
    assert candidates_of([A, B], config).confidence.tolist() == np.float32([0.9, 0.8]).tolist()


def test_weighted_boxes_fusion_gets_the_cut_views():
    fusion = FusionConfig(method=FusionMethod.wbf, wbf_iou=0.5, weights=[2.0, 1.0], min_votes=1)
    config = CutConfig(confidence=0.2, nms_iou=0.5, max_det=None, fusion=fusion)
    kept = [cut(v.candidates, 0.2, 0.5, None) for v in (A, B)]
    expected = weighted_boxes_fusion(kept, [2.0, 1.0], 0.5, 0.0001, 1, "avg")
    found = candidates_of([A, B], config)
    assert np.array_equal(found.boxes_xyxy, expected.boxes_xyxy)
    assert np.array_equal(found.confidence, expected.confidence)


def test_when_nothing_passes_the_most_confident_proposal_remains():
    """The published code took the last of a falling list: the least confident."""
    found = candidates_of([B, A], CutConfig(confidence=0.95))
    assert found.boxes_xyxy.tolist() == [[0, 0, 10, 10]]
    assert len(candidates_of([view("c", [])], CutConfig())) == 0
    assert len(most_confident([])) == 0


def test_boxes_are_voted_upon_by_all_of_their_view_before_fusion():
    near = view("c", [[0, 0, 10, 10, 0.9], [0, 0, 10, 8, 0.1]])
    moved = cut_and_fuse([near, B], CutConfig(confidence=0.2, nms_iou=0.5, max_det=None, vote_iou=0.6))
    alone = vote(near.candidates.take(np.array([0])), near.candidates, 0.6)
    assert moved.boxes_xyxy[0].tolist() == alone.boxes_xyxy[0].tolist() != [0, 0, 10, 10]
    off = [cut_and_fuse([near], CutConfig(0.2, vote_iou=v)).boxes_xyxy.tolist() for v in (None, 0.0)]
    assert off == [[[0, 0, 10, 10]]] * 2
