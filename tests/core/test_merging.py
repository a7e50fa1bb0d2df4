"""Slice merging against sahi's own postprocessors, on random boxes with ties, nesting and chains."""

from collections.abc import Iterator

import numpy as np
import pytest

from core.errors import InputError
from core.merging import merge
from core.values import Candidates


@pytest.fixture(autouse=True)
def _numpy_backend() -> Iterator[None]:
    from sahi.postprocess.backends import get_postprocess_backend, set_postprocess_backend

    before = get_postprocess_backend()
    set_postprocess_backend("numpy")
    yield
    set_postprocess_backend(before)


def random_views(rng: np.random.Generator) -> list[Candidates]:
    """A few slices' boxes round common objects; whole-pixel sides and coarse confidences make ties."""
    num = int(rng.integers(1, 40))
    corner, size = rng.uniform(0, 100, (num, 2)), rng.uniform(4, 120, (num, 2))
    boxes = np.concatenate([corner, corner + size], axis=1)
    boxes = boxes.round() if rng.random() < 0.5 else boxes
    confidence = rng.uniform(0.001, 1, num)
    confidence = confidence.round(1) if rng.random() < 0.3 else confidence
    cut = sorted(rng.integers(0, num + 1, 2).tolist())
    parts = np.split(np.arange(num), cut)
    return [Candidates(boxes[p].astype(np.float32), confidence[p].astype(np.float32)) for p in parts]


def by_sahi(views: list[Candidates], method: str, metric: str, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    from sahi.postprocess.combine import GreedyNMMPostprocess, NMMPostprocess, NMSPostprocess
    from sahi.prediction import ObjectPrediction

    kinds = {"nms": NMSPostprocess, "nmm": NMMPostprocess, "greedy_nmm": GreedyNMMPostprocess}
    given = [
        ObjectPrediction(bbox=[float(x) for x in box], score=float(confidence), category_id=0, category_name="target")
        for view in views
        for box, confidence in zip(view.boxes_xyxy, view.confidence, strict=True)
    ]
    merged = kinds[method](match_threshold=threshold, match_metric=metric.upper(), class_agnostic=True)(given)
    boxes = np.asarray([m.bbox.to_xyxy() for m in merged], np.float32).reshape(-1, 4)
    return boxes, np.asarray([m.score.value for m in merged], np.float32)


@pytest.mark.parametrize("metric", ["ios", "iou"])
@pytest.mark.parametrize("method", ["greedy_nmm", "nmm", "nms"])
def test_equals_sahi(method: str, metric: str) -> None:
    rng = np.random.default_rng(7)
    grown = 0
    for _ in range(200):
        views = random_views(rng)
        threshold = float(rng.choice([0.2, 0.5, 0.8]))
        ours = merge(views, method, metric, threshold)
        boxes, confidence = by_sahi(views, method, metric, threshold)
        np.testing.assert_array_equal(ours.boxes_xyxy, boxes)
        np.testing.assert_array_equal(ours.confidence, confidence)
        grown += len(ours) < sum(len(v) for v in views)
    assert grown > 100  # most sets had something to merge


def test_low_confidences_are_merged_by_the_method_asked_for() -> None:
    """Two halves of one target at confidence 0.05: sahi would silently suppress one; merging joins them."""
    halves = [Candidates(np.array([[0, 0, 20, 10]], np.float32), np.array([0.05], np.float32)),
              Candidates(np.array([[8, 0, 30, 10]], np.float32), np.array([0.04], np.float32))]  # fmt: skip
    merged = merge(halves, "greedy_nmm", "ios", 0.5)
    np.testing.assert_array_equal(merged.boxes_xyxy, [[0, 0, 30, 10]])
    np.testing.assert_array_equal(merged.confidence, np.float32([0.05]))


def test_nothing_to_merge_and_wrong_settings() -> None:
    assert len(merge([Candidates.empty(), Candidates.empty()])) == 0
    for wrong in ({"method": "soft"}, {"metric": "giou"}, {"threshold": 0.0}):
        with pytest.raises(InputError, match="merging"):
            merge([Candidates.empty()], **wrong)  # type: ignore[arg-type]
