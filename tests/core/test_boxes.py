import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou

from core.boxes import box_area, clip_xyxy, iou_matrix, ltwh_to_xyxy, xyxy_to_ltwh

coordinate = st.integers(-2000, 2000)
boxes = st.lists(st.tuples(coordinate, coordinate, st.integers(1, 900), st.integers(1, 900)), min_size=1, max_size=8)


@given(boxes)
def test_forms_are_inverse(ltwh):
    assert np.array_equal(xyxy_to_ltwh(ltwh_to_xyxy(ltwh)), np.asarray(ltwh, float))


@given(boxes, boxes)
def test_iou_equals_torchvision(a, b):
    a_xyxy, b_xyxy = ltwh_to_xyxy(a), ltwh_to_xyxy(b)
    expected = box_iou(torch.from_numpy(a_xyxy), torch.from_numpy(b_xyxy)).numpy()
    np.testing.assert_allclose(iou_matrix(a_xyxy, b_xyxy), expected, rtol=0, atol=1e-15)


def test_iou_of_boxes_without_area_is_zero():
    point = [[3.0, 3.0, 3.0, 3.0]]
    assert iou_matrix(point, point).tolist() == [[0.0]]


def test_empty_sets_keep_their_shape():
    assert iou_matrix([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert ltwh_to_xyxy([]).shape == (0, 4)


def test_clip_and_area():
    clipped = clip_xyxy([[-4.0, -4, 10, 10], [200, 0, 300, 10]], width=100, height=50)
    assert clipped.tolist() == [[0, 0, 10, 10], [100, 0, 100, 10]]
    assert box_area(clipped).tolist() == [100, 0]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_float_type_is_kept(kind):
    assert ltwh_to_xyxy(np.ones((2, 4), kind)).dtype == kind
