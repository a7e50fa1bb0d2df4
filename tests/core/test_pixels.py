import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from core.pixels import crop_box, pixel_box, pixel_boxes

IMAGE = np.random.default_rng(0).integers(0, 256, (37, 53, 3)).astype(np.uint8)
edges = st.floats(-20, 80, allow_nan=False)


@given(st.tuples(st.floats(0, 52), st.floats(0, 36), st.floats(0, 53), st.floats(0, 37)))
@settings(max_examples=300, deadline=None)
@example((0.5, 1.5, 2.5, 3.5))
def test_inside_the_image_it_is_pillows_crop(box):
    left, top, right, bottom = box
    expected_size = (round(right) - round(left), round(bottom) - round(top))
    if min(expected_size) < 1:
        return
    assert np.array_equal(crop_box(IMAGE, box), np.asarray(Image.fromarray(IMAGE).crop(box)))


@given(st.tuples(edges, edges, edges, edges))
@settings(max_examples=300, deadline=None)
def test_a_crop_is_never_empty_and_lies_in_the_image(box):
    left, top, right, bottom = pixel_box(box, 53, 37)
    assert 0 <= left < right <= 53
    assert 0 <= top < bottom <= 37
    assert np.array_equal(crop_box(IMAGE, box), IMAGE[top:bottom, left:right])


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        ((10.2, 5.4, 10.3, 5.45), (10, 5, 11, 6)),  # thinner than a pixel
        ((-30, -30, -10, -10), (0, 0, 1, 1)),
        ((60, 40, 90, 90), (52, 36, 53, 37)),
        ((-5, 3, 6, 9), (0, 3, 6, 9)),
    ],
)
def test_what_has_no_pixel_of_its_own_gets_the_nearest(box, pixels):
    assert pixel_box(box, 53, 37) == pixels


def test_a_crop_does_not_hold_on_to_its_image():
    crop = crop_box(IMAGE, (1, 2, 20, 30))
    assert crop.base is None
    assert crop.flags.c_contiguous


@pytest.mark.parametrize("box", [(0, 0, float("nan"), 3), (0, 0, float("inf"), 3), (1, 2, 3)])
def test_no_crop_of_what_is_no_box(box):
    with pytest.raises(ValueError, match="not a box"):
        crop_box(IMAGE, box)


def spans(start, end, size):
    """The rule in plain Python, one side of one box."""
    first, last = (min(max(round(v), 0), size) for v in (start, end))
    nearest = min(max(math.floor((start + end) / 2), 0), size - 1)
    return (first, last) if last > first else (nearest, nearest + 1)


def test_many_boxes_at_once_follow_the_rule_of_one():
    boxes = np.random.default_rng(0).uniform(-20, 90, (3000, 4))
    boxes[:1000] = np.round(boxes[:1000] * 2) / 2  # halves, where rounding matters
    sides = [(spans(b[0], b[2], 64), spans(b[1], b[3], 48)) for b in boxes.tolist()]
    assert pixel_boxes(boxes, 64, 48).tolist() == [[x[0], y[0], x[1], y[1]] for x, y in sides]
    assert pixel_boxes(np.zeros((0, 4)), 64, 48).shape == (0, 4)
