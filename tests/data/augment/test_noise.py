"""The noises against the mid-2024 definition, written down here in plain numpy."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp, kstest, norm, poisson

from data.augment import ChannelGain, GaussNoise2024, IsoNoise2024, JpegCompression
from data.augment.noise import (
    add_gauss_noise,
    add_iso_noise,
    gauss_noise,
    iso_noise,
    luminance_std,
    poisson_table,
)

COUNT = 1_000_000


def draw(side: int = 256) -> NDArray[np.uint8]:
    """A smooth coloured image, RGB, away from black and white so that nothing clips much."""
    coarse = np.random.default_rng(0).integers(60, 190, (8, 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def iso_2024(image: NDArray[np.uint8], hue_noise: NDArray, shot_noise: NDArray) -> NDArray[np.float64]:
    """albumentations 1.4.8's ISO noise with given draws, before it cuts off to whole levels."""
    hls = cv2.cvtColor(np.multiply(image, 1 / 255, dtype=np.float32), cv2.COLOR_RGB2HLS)
    hue = hls[..., 0] + hue_noise
    hue[hue < 0] += 360
    hue[hue > 360] -= 360
    hls[..., 0] = hue
    hls[..., 1] += (shot_noise / 255) * (1.0 - hls[..., 1])
    return cv2.cvtColor(hls, cv2.COLOR_HLS2RGB).astype(np.float64) * 255


def test_pooled_noises_have_the_published_distributions() -> None:
    rng = np.random.default_rng(1)
    for sigma in (5.0, 50.0):
        assert kstest(gauss_noise(sigma, COUNT, rng) / sigma, norm.cdf).statistic <= 0.01
    hue, gain = iso_noise(0.2, 0.03, 0.3, COUNT, rng)
    assert kstest(hue / (0.03 * 360 * 0.3), norm.cdf).statistic <= 0.01
    published = np.random.default_rng(2).poisson(0.2 * 0.3 * 255, COUNT)
    assert ks_2samp(np.round(gain * 255), published).statistic <= 0.01


@pytest.mark.parametrize("sigma", [10.0, 35.0, 50.0])
def test_noise_variance(sigma: float) -> None:
    draws = np.concatenate([gauss_noise(sigma, COUNT // 10, np.random.default_rng(seed)) for seed in range(20)])
    error = 4 * (2 / len(draws)) ** 0.5
    assert draws.var() == pytest.approx(sigma**2, rel=max(0.005, error))
    assert abs(draws.mean()) < 4 * sigma / len(draws) ** 0.5


@pytest.mark.parametrize("mean", [0.0, 0.3, 4.0, 15.3, 64.0])
def test_poisson_table_holds_the_quantiles(mean: float) -> None:
    values = np.round(poisson_table(mean) * 255).astype(int)
    counts = np.bincount(values, minlength=values.max() + 1) / len(values)
    wanted = poisson(mean).pmf(np.arange(len(counts)))
    assert np.abs(np.cumsum(counts) - np.cumsum(wanted)).max() < 2 / 65536


def test_gauss_noise_adds_just_its_draws() -> None:
    image = draw()
    result = add_gauss_noise(image, 30.0, np.random.default_rng(3))
    draws = gauss_noise(30.0, image.size, np.random.default_rng(3)).reshape(image.shape)
    assert np.abs(result - np.clip(image + draws.astype(float), 0, 255)).max() <= 0.5 + 1e-3
    grey = add_gauss_noise(np.full((64, 64, 3), 128, np.uint8), 20.0, np.random.default_rng(4), per_channel=False)
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 0] == grey[..., 2]).all()
    assert grey.std() == pytest.approx(20, rel=0.05)


def test_noise_differs_by_channel_by_place_and_by_seed() -> None:
    flat = np.full((128, 128, 3), 128, np.uint8)
    one, two = (add_gauss_noise(flat, 20.0, np.random.default_rng(seed)).astype(float) - 128 for seed in (1, 2))
    series = [
        one[..., 0],
        one[..., 1],
        one[..., 2],
        two[..., 0],
        np.roll(one[..., 0], 1, 0),
        np.roll(one[..., 0], 1, 1),
    ]
    correlation = np.corrcoef([s.ravel() for s in series]) - np.eye(6)
    assert np.abs(correlation).max() < 5 / 128


def test_luminance_std_is_that_of_hls() -> None:
    image = np.random.default_rng(5).integers(0, 256, (77, 91, 3), np.uint8)
    hls = cv2.cvtColor(image.astype(np.float64).astype(np.float32) / 255, cv2.COLOR_RGB2HLS)
    assert luminance_std(image) == pytest.approx(hls[..., 1].astype(float).std(), rel=1e-6)
    assert luminance_std(np.full((8, 8, 3), 7, np.uint8)) == 0


@pytest.mark.parametrize(("shift", "intensity"), [(0.01, 0.1), (0.05, 0.5), (0.07, 0.5)])
def test_iso_noise_is_the_mid_2024_formula(shift: float, intensity: float) -> None:
    """On its own draws (one strip: small image) our result is the published formula, rounded."""
    image = draw(128)
    image[:8] = (200, 10, 12)  # red: hues on both sides of zero
    std = luminance_std(image)
    hue, gain = iso_noise(std, shift, intensity, 128 * 128, np.random.default_rng(6))
    # add_iso_noise draws its strip from the same stream, in strips of whole rows: equal here, as both use one strip.
    import data.augment.noise as noise

    (_, place), *rest = noise._strips(128 * 128, np.random.default_rng(6), 128 * 128)
    assert not rest
    hue = noise._normal_pool()[0, place] * shift * 360 * intensity
    gain = poisson_table(std * intensity * 255)[noise._uniform_pool()[place]]
    expected = iso_2024(image, hue.reshape(128, 128), np.round(gain.reshape(128, 128) * 255))
    result = add_iso_noise(image, shift, intensity, np.random.default_rng(6))
    assert np.abs(result - np.clip(expected, 0, 255)).max() <= 0.51


def test_iso_noise_pixels_match_mid_2024_on_fresh_draws() -> None:
    image = draw()
    rng = np.random.default_rng(7)
    shift, intensity = 0.03, 0.3
    std = luminance_std(image)
    shape = image.shape[:2]
    published = iso_2024(
        image, rng.normal(0, shift * 360 * intensity, shape), rng.poisson(std * intensity * 255, shape)
    )
    ours = add_iso_noise(image, shift, intensity, np.random.default_rng(8))
    difference = published - image, ours.astype(float) - image
    for channel in range(3):
        one, two = (d[..., channel] for d in difference)
        assert two.mean() == pytest.approx(one.mean(), abs=0.1)
        assert two.std() == pytest.approx(one.std(), rel=0.03, abs=0.05)
    changed = (ours != image).any(-1).mean()
    assert changed > 0.8  # albumentations 2.0.8 changes about 2 % of the pixels
    luminance = [
        cv2.cvtColor((d + image).clip(0, 255).astype(np.float32) / 255, cv2.COLOR_RGB2HLS)[..., 1] for d in difference
    ]
    assert ks_2samp(luminance[0].ravel(), luminance[1].ravel()).statistic < 0.02


def test_variance_is_uniform_not_sigma() -> None:
    transform = GaussNoise2024((0.0, 2500.0), p=1)
    transform.set_random_seed(0)
    sigmas = np.array([transform.get_params()["sigma"] for _ in range(20000)])
    assert kstest(sigmas**2 / 2500, "uniform").statistic < 0.015
    assert sigmas.mean() == pytest.approx(2 / 3 * 50, rel=0.02)


def test_iso_parameters_are_uniform() -> None:
    transform = IsoNoise2024(p=1)
    transform.set_random_seed(0)
    drawn = [transform.get_params() for _ in range(20000)]
    for name, low, high in (("color_shift", 0.01, 0.05), ("intensity", 0.1, 0.5)):
        values = (np.array([d[name] for d in drawn]) - low) / (high - low)
        assert kstest(values, "uniform").statistic < 0.015


def test_channel_gain_is_one_factor_a_channel() -> None:
    image = draw()
    transform = ChannelGain(p=1)
    transform.set_random_seed(3)
    result = transform(image=image)["image"]
    factors = transform.params["factors"]
    assert len(set(factors)) == 3
    assert np.abs(result - np.clip(image * np.array(factors), 0, 255)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("quality", [25, 75, 100])
def test_compression_is_the_jpeg_of_that_quality(quality: int) -> None:
    image = draw()
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    expected = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    result = JpegCompression((quality, quality), p=1)(image=image)["image"]
    assert (result == expected).all()


def test_compression_draws_every_quality() -> None:
    transform = JpegCompression((75, 100), p=1)
    transform.set_random_seed(1)
    counts = np.bincount([transform.get_params()["quality"] for _ in range(26000)], minlength=101)
    assert counts[:75].sum() == 0
    assert np.abs(counts[75:] - 1000).max() < 4.5 * 1000**0.5
