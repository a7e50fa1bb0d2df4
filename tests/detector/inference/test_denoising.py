"""The noise of an image estimated where it is known, and the filter that it decides on."""

import numpy as np
import pytest

from detector.build import build_detector
from detector.inference.denoising import NOISY_SIGMA, denoise, noise_sigma
from detector.settings import Denoise, DetectorConfig


def scene(height=120, width=160):
    """A slope with hard edges, in which no noise is."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([60 + x / 2, 180 - y / 2, 90 + (x + y) / 4], axis=-1)
    image[20:60, 30:90] = (200, 60, 60)
    return image


def noisy(sigma, seed=0):
    image = scene() + np.random.default_rng(seed).normal(0, sigma, scene().shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("sigma", [10.0, 20.0, 30.0])
def test_known_noise_is_estimated(sigma):
    assert noise_sigma(noisy(sigma)) == pytest.approx(sigma, rel=0.06)


def test_clean_images_are_left_alone_and_noisy_ones_come_nearer_to_the_truth():
    clean = noisy(0)
    assert noise_sigma(clean) < 1
    assert denoise(clean) is clean
    assert noise_sigma(noisy(4)) < NOISY_SIGMA
    for sigma in (15.0, 45.0):
        image = noisy(sigma)
        filtered = denoise(image)
        assert (filtered.shape, filtered.dtype) == (image.shape, np.uint8)
        before, after = (np.abs(made.astype(float) - scene()).mean() for made in (image, filtered))
        assert after < 0.6 * before


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 50, 3), (3, 3, 3)])
def test_any_size_and_layout_passes(shape):
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    assert denoise(image).shape == shape
    mirrored = noisy(30)[:, ::-1]
    assert (denoise(mirrored) == denoise(np.ascontiguousarray(mirrored))).all()


def test_the_detector_sees_the_filtered_image_and_says_so_in_its_key(trained):
    weights, images = trained
    plain, filtering = (build_detector(DetectorConfig(weights=str(weights), denoise=d)) for d in Denoise)
    rough = np.clip(images[0] + np.random.default_rng(2).normal(0, 40, images[0].shape), 0, 255).astype(np.uint8)
    assert noise_sigma(rough) > NOISY_SIGMA
    (seen,), (wanted,) = filtering.propose([rough]), plain.propose([denoise(rough)])
    for ours, theirs in zip(seen, wanted, strict=True):
        np.testing.assert_array_equal(ours.candidates.boxes_xyxy, theirs.candidates.boxes_xyxy)
    unfiltered = plain.propose([rough])[0][0].candidates
    assert not np.array_equal(unfiltered.boxes_xyxy, seen[0].candidates.boxes_xyxy)
    assert plain.key != filtering.key
