"""The one warp against OpenCV's resize, exact mirrors and turns, a linear ramp, and its rim."""

import cv2
import numpy as np
import pytest

from core.warping import Geometry, warp


def smooth(height, width, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def whole(image):
    return [0, 0, image.shape[1], image.shape[0]]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (3, 40), (16, 16), (23, 31), (60, 40)])
def test_the_default_geometry_is_a_bilinear_resize(height, width):
    image = smooth(height, width)
    made = warp(image, whole(image), (64, 64))
    wanted = cv2.resize(image, (64, 64), interpolation=cv2.INTER_LINEAR)
    assert np.abs(made.astype(int) - wanted).max() <= 2  # warpAffine's weights are of 5 bits


def test_no_pixel_of_a_large_crop_is_left_out():
    image = np.zeros((640, 320, 3), np.uint8)
    image[::10] = 250  # bilinear sampling at every tenth row would see all of it or nothing
    made = warp(image, whole(image), (64, 64))
    assert abs(made.astype(float).mean() - 25) <= 1
    assert made.std() <= 1


def test_the_same_box_in_a_larger_image_is_the_same_inside():
    image = smooth(60, 80)
    box = [20, 10, 52, 42]
    inside = warp(image, box, (32, 32))
    np.testing.assert_array_equal(inside, image[10:42, 20:52])


def test_mirrored_is_the_mirror_image():
    image = smooth(30, 44)
    made = [
        warp(image, whole(image), (40, 40), Geometry(mirrored=m, shift_x=s)) for m, s in ((True, 0.1), (False, -0.1))
    ]
    assert np.abs(made[0].astype(int) - made[1][:, ::-1]).max() <= 2


def test_a_quarter_turn_of_a_square():
    image = smooth(33, 33)
    made = warp(image, whole(image), (33, 33), Geometry(rotation=90))
    assert any(np.abs(made.astype(int) - np.rot90(image, k)).max() <= 1 for k in (1, 3))


def test_shift_scale_and_pad_move_a_ramp_by_what_they_say():
    ramp = np.tile(np.linspace(50, 200, 128).astype(np.uint8)[None, :, None], (128, 1, 3))
    box = [32, 32, 96, 96]
    level = 150 / 127  # of a pixel
    plain = warp(ramp, box, (64, 64))[32, :, 0].astype(float)
    shifted = warp(ramp, box, (64, 64), Geometry(shift_x=0.25))[32, :, 0]
    np.testing.assert_allclose(plain - shifted, 16 * level, atol=1.5)
    for geometry, factor in ((Geometry(scale=2.0), 0.5), (Geometry(pad=0.25), 1.5)):
        made = warp(ramp, box, (64, 64), geometry)[32, :, 0].astype(float)
        np.testing.assert_allclose(made - made.mean(), (plain - plain.mean()) * factor, atol=1.5)


def test_beyond_the_image_its_rim_goes_on():
    image = np.full((10, 10, 3), 7, np.uint8)
    made = warp(image, whole(image), (20, 20), Geometry(rotation=30, shift_x=0.3, scale=0.5, pad=0.4))
    assert (made == 7).all()
