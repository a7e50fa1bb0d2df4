import numpy as np
import torch
from torchvision.ops import nms as torchvision_nms

from core.suppression import cut, nms, vote
from core.values import Candidates


def random_set(rng, quantised):
    n = int(rng.integers(0, 120))
    corner = rng.uniform(0, 300, (n, 2))
    size = rng.uniform(0 if n % 5 == 0 else 1, 90, (n, 2))
    boxes = np.concatenate([corner, corner + size], 1)
    confidence = rng.uniform(0, 1, n)
    if quantised:  # whole pixels and few confidences: ties in both
        boxes, confidence = boxes.round(), (confidence * 8).round() / 8
    return boxes.astype(np.float32), confidence.astype(np.float32)


def test_equals_torchvision_on_1000_random_sets():
    rng = np.random.default_rng(7)
    for i in range(1000):
        boxes, confidence = random_set(rng, quantised=i % 2 == 1)
        threshold = float(rng.choice([0.1, 0.3, 0.5, 0.7, rng.uniform()]))
        expected = torchvision_nms(torch.from_numpy(boxes), torch.from_numpy(confidence), threshold).numpy()
        if len(set(confidence.tolist())) == len(confidence):
            assert np.array_equal(nms(boxes, confidence, threshold), expected)
            for most in (0, 1, 7):
                assert np.array_equal(nms(boxes, confidence, threshold, most), expected[:most])
        else:  # torchvision leaves the order of equal confidences open: break the ties by hand, then compare
            order = np.argsort(-confidence, kind="stable")
            ranks = np.arange(len(order), 0, -1).astype(np.float32)
            expected = torchvision_nms(torch.from_numpy(boxes[order]), torch.from_numpy(ranks), threshold).numpy()
            assert np.array_equal(nms(boxes, confidence, threshold), order[expected])


def test_cut_orders_its_cuts():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60], [80, 80, 90, 90]], np.float32)
    found = Candidates(boxes, np.array([0.3, 0.9, 0.5, 0.1], np.float32))
    kept = cut(found, confidence=0.2, nms_iou=0.5, max_det=1)
    assert kept.confidence.tolist() == [np.float32(0.9)]
    assert cut(found, confidence=0.2, nms_iou=0.5, max_det=None).boxes_xyxy.tolist() == [
        boxes[1].tolist(),
        boxes[2].tolist(),
    ]
    assert len(cut(found, confidence=0.0, nms_iou=None, max_det=None)) == 4


def test_a_higher_confidence_can_be_cut_after_suppression():
    """Sweeps rest on it: NMS at a low confidence, filtered, equals NMS at the higher one."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        found = Candidates(*random_set(rng, quantised=False))
        low = cut(found, 0.05, 0.4, None)
        high = cut(found, 0.6, 0.4, None)
        assert np.array_equal(low.take(low.confidence >= np.float32(0.6)).boxes_xyxy, high.boxes_xyxy)


def test_a_voted_box_is_the_mean_by_hand():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [2, 0, 12, 10], [6, 0, 16, 10], [50, 50, 60, 60]], np.float32)
    view = Candidates(boxes, np.array([0.9, 0.5, 0.3, 0.8, 0.7], np.float32))
    kept = view.take(np.array([0, 4]))
    voted = vote(kept, view, 0.6)
    # IoU with the first: 1, 0.8, 80 / 120, 40 / 160, 0; the fourth is below 0.6
    weight = np.array([1.0, 0.8, 80 / 120]) * view.confidence[:3].astype(np.float64)
    np.testing.assert_allclose(voted.boxes_xyxy[0], np.average(boxes[:3], axis=0, weights=weight), rtol=1e-6)
    assert voted.boxes_xyxy[1].tolist() == [50, 50, 60, 60]  # alone it stays
    assert (voted.confidence == kept.confidence).all()


def test_a_vote_does_not_hang_on_the_other_kept_boxes():
    rng = np.random.default_rng(8)
    view = Candidates(*random_set(rng, quantised=False))
    together = vote(view, view, 0.5).boxes_xyxy
    for place in range(len(view)):
        assert (vote(view.take(np.array([place])), view, 0.5).boxes_xyxy[0] == together[place]).all()
    point = Candidates(np.array([[3, 3, 3, 3]], np.float32), np.array([0.5], np.float32))
    assert vote(point, point, 0.5).boxes_xyxy.tolist() == [[3, 3, 3, 3]]
    assert len(vote(Candidates.empty(), view, 0.5)) == 0
