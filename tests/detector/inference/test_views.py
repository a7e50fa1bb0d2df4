"""Views, letterbox and slices: every way into the network leads back to the same pixels."""

import itertools

import numpy as np
import pytest

from core.errors import InputError
from detector.inference.letterbox import input_shape, letterbox
from detector.inference.slicing import check_slices, slice_windows
from detector.inference.views import parse_view
from detector.settings import SliceConfig, SliceMode

NAMES = ["plain", "flip_lr", "flip_ud", "rotate_90", "rotate_180", "rotate_270", "flip_lr+rotate_90",
         "flip_ud+rotate_270"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_boxes_come_back_from_every_view(name: str) -> None:
    """A marked rectangle is found in the view's pixels; its box, undone, is where it was drawn."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        height, width = rng.integers(20, 60, 2)
        left, top = rng.integers(0, width - 8), rng.integers(0, height - 8)
        w, h = rng.integers(2, 8, 2)
        image = np.zeros((height, width, 3), np.uint8)
        image[top : top + h, left : left + w] = 255
        view = parse_view(name)
        seen = view.apply(image)
        rows, columns = np.flatnonzero(seen[..., 0].any(1)), np.flatnonzero(seen[..., 0].any(0))
        found = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float64)
        np.testing.assert_allclose(view.undo(found, int(width), int(height)), [[left, top, left + w, top + h]])


def test_names_are_checked() -> None:
    assert parse_view("scale_0.83+flip_lr").scale == 0.83
    for wrong in ("mirror", "scale_0", "scale_x", "flip_lr+tta", ""):
        with pytest.raises(InputError, match=r"detector\.views"):
            parse_view(wrong)


@pytest.mark.parametrize(("image", "imgsz", "stride", "expected"), [
    ((870, 1520), 1600, 32, (928, 1600)),
    ((870, 1520), 1536, 64, (896, 1536)),
    ((870, 1520), 640, 32, (384, 640)),
    ((870, 1520), (896, 1536), 64, (896, 1536)),
    ((100, 1), 64, 32, (64, 32)),
])  # fmt: skip
def test_input_shapes(image: tuple[int, int], imgsz: int, stride: int, expected: tuple[int, int]) -> None:
    assert input_shape(image, imgsz, stride) == expected


def test_letterbox_equals_ultralytics_and_undoes_itself() -> None:
    from ultralytics.data.augment import LetterBox

    rng = np.random.default_rng(0)
    for height, width, imgsz in itertools.product((37, 64, 130), (41, 96, 200), (64, 160)):
        image = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        shape = input_shape((height, width), imgsz, 32)
        ours, back = letterbox(image, shape)
        theirs = LetterBox((imgsz, imgsz), auto=True, stride=32)(image=image)
        np.testing.assert_array_equal(ours, theirs)
        corners = np.array([[0, 0, width, height]], np.float64)
        there = corners * back.gain + np.array([back.left, back.top, back.left, back.top])
        np.testing.assert_allclose(back.undo(there), corners, atol=1e-9)


def test_slices_are_sahis() -> None:
    auto = slice_windows(SliceConfig(mode=SliceMode.auto), 1520, 870)
    assert auto == [(x, 0, x + 760, 870) for x in (0, 152, 304, 456, 608, 760)]  # the published six
    fixed = slice_windows(SliceConfig(mode=SliceMode.size, size=[640, 640], overlap=0.2), 1520, 870)
    assert fixed[0] == (0, 0, 640, 640)
    assert {w[2] for w in fixed} >= {1520}
    assert {w[3] for w in fixed} >= {870}
    assert all(w[2] - w[0] == 640 and w[3] - w[1] == 640 for w in fixed)
    assert slice_windows(SliceConfig(), 1520, 870) == []
    for wrong in (
        SliceConfig(mode=SliceMode.size),
        SliceConfig(mode=SliceMode.size, size=[0, 5]),
        SliceConfig(mode=SliceMode.size, size=[64, 64], overlap=1.0),
        SliceConfig(full=False),
    ):
        with pytest.raises(InputError, match=r"detector\.slices"):
            check_slices(wrong)
