"""Sensor noise as albumentations 1.4.8 (mid-2024) defined it, drawn from pools instead of afresh: fast and equal.

A pool holds a few million draws of a distribution; an image takes strips of it that start at random places. Before
rounding to whole grey levels the noise has the published distribution; the sum is rounded to the nearest level where
1.4.8 cut it off (half a level of difference in the mean).
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

_POOL_SIZE = 1 << 22
_STRIP = 1 << 17  # values worked on at a time: small enough to stay in the processor's cache


@lru_cache(maxsize=1)
def _normal_pool() -> NDArray[np.float32]:
    """(1, P) standard normal draws in antithetic pairs, shuffled, so that mean and skew of the pool are zero."""
    half = np.random.default_rng(20240531).standard_normal(_POOL_SIZE // 2, np.float32)
    pool = np.stack([half, -half], 1).reshape(1, -1)
    return np.random.default_rng(7).permuted(pool, axis=1)


@lru_cache(maxsize=1)
def _uniform_pool() -> NDArray[np.uint16]:
    """(P,) draws of a uniform 16-bit number: places in a distribution's table of 65,536 quantiles."""
    return np.random.default_rng(20240601).integers(0, 1 << 16, _POOL_SIZE, np.uint16)


def _strips(count: int, rng: np.random.Generator, strip: int = _STRIP) -> Iterator[tuple[slice, slice]]:
    """Cut `count` values into strips, each with a random place in a pool."""
    starts = rng.integers(0, _POOL_SIZE - strip, -(-count // strip))
    for number, start in enumerate(starts.tolist()):
        first = number * strip
        last = min(first + strip, count)
        yield slice(first, last), slice(start, start + last - first)


def gauss_noise(sigma: float, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(count,) float32 draws of N(0, sigma^2): the very values that `add_gauss_noise` adds for the same `rng`."""
    noise = np.empty((1, count), np.float32)
    pool = _normal_pool()
    for here, there in _strips(count, rng):
        cv2.addWeighted(pool[:, there], sigma, pool[:, there], 0.0, 0.0, dst=noise[:, here])
    return noise[0]


def add_gauss_noise(
    image: NDArray[np.uint8], sigma: float, rng: np.random.Generator, per_channel: bool = True
) -> NDArray[np.uint8]:
    """(H, W, C) uint8 plus Gaussian noise of `sigma` grey levels, its own in every channel unless told otherwise."""
    height, width = image.shape[:2]
    if not per_channel:
        plane = gauss_noise(sigma, height * width, rng).reshape(height, width)
        return cv2.add(image, cv2.merge([plane] * 3), dtype=cv2.CV_8U)
    flat = np.ascontiguousarray(image).reshape(1, -1)
    result = np.empty_like(flat)
    levels = np.empty((1, min(_STRIP, flat.size)), np.float32)
    pool = _normal_pool()
    for here, there in _strips(flat.size, rng):
        part = levels[:, : here.stop - here.start]
        np.copyto(part, flat[:, here])
        cv2.addWeighted(pool[:, there], sigma, part, 1.0, 0.0, dst=result[:, here], dtype=cv2.CV_8U)
    return result.reshape(image.shape)


def poisson_table(mean: float) -> NDArray[np.float32]:
    """(65536,) the quantiles of a Poisson distribution at (k + 0.5) / 65536, divided by 255."""
    most = int(mean + 12 * math.sqrt(mean) + 20)
    k = np.arange(most + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(k[1:]))])
    cumulative = np.cumsum(np.exp(k * math.log(max(mean, 1e-12)) - mean - log_factorial))
    places = np.searchsorted((np.arange(1 << 16) + 0.5) / (1 << 16), cumulative)
    counts = np.diff(np.concatenate([[0], places]))
    counts[-1] += (1 << 16) - counts.sum()
    return (np.repeat(k, counts) / 255).astype(np.float32)


def iso_noise(
    luminance_std: float, color_shift: float, intensity: float, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(count,) hue noise in degrees, N(0, (color_shift * 360 * intensity)^2), and (count,) luminance gain 0..1.

    The gain is Poisson(luminance_std * intensity * 255) / 255, luminance_std that of the image's luminance in 0..1.
    These are the values that `add_iso_noise` works with, strip by strip.
    """
    hue, gain = np.empty((1, count), np.float32), np.empty(count, np.float32)
    table = poisson_table(luminance_std * intensity * 255)
    for here, there in _strips(count, rng):
        pool = _normal_pool()[:, there]
        cv2.addWeighted(pool, color_shift * 360 * intensity, pool, 0.0, 0.0, dst=hue[:, here])
        np.take(table, _uniform_pool()[there], out=gain[here], mode="clip")
    return hue[0], gain


def luminance_std(image: NDArray[np.uint8]) -> float:
    """The standard deviation of HLS luminance, (max + min) / 2 of each pixel, on the 0..1 scale.

    From three 8-bit planes, by var(a + b) = 2 var(a) + 2 var(b) - var(a - b): much faster than from the sum itself.
    """
    red, green, blue = cv2.split(image)
    high, low = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    high_var, low_var, gap_var = (
        float(cv2.meanStdDev(plane)[1][0, 0]) ** 2 for plane in (high, low, cv2.subtract(high, low))
    )
    return math.sqrt(max(2 * high_var + 2 * low_var - gap_var, 0.0)) / 510


def add_iso_noise(
    image: NDArray[np.uint8], color_shift: float, intensity: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB seen through a noisy sensor: hue jitter, and luminance raised by shot noise.

    Works in HLS on strips of rows with buffers that are used again: hue += noise, luminance += gain (1 - luminance).
    """
    height, width = image.shape[:2]
    rows = min(max(_STRIP // width, 1), height)
    table = poisson_table(luminance_std(image) * intensity * 255)
    result = np.empty(image.shape, np.uint8)
    levels, hls = np.empty((rows, width, 3), np.float32), np.empty((rows, width, 3), np.float32)
    planes = np.empty((3, rows, width), np.float32)
    for here, there in _strips(height * width, rng, rows * width):
        part = slice(here.start // width, here.stop // width)
        count = part.stop - part.start
        rgb_s, hls_s = levels[:count], hls[:count]
        hue_s, luminance_s, gain_s = planes[:, :count]
        cv2.addWeighted(image[part], 1 / 255, image[part], 0.0, 0.0, dst=rgb_s, dtype=cv2.CV_32F)
        cv2.cvtColor(rgb_s, cv2.COLOR_RGB2HLS, dst=hls_s)
        cv2.extractChannel(hls_s, 0, dst=hue_s)
        cv2.extractChannel(hls_s, 1, dst=luminance_s)
        # 360 more, because OpenCV turns hues above the circle back into it but not those below
        pool = _normal_pool()[0, there].reshape(count, width)
        cv2.addWeighted(pool, color_shift * 360 * intensity, hue_s, 1.0, 360.0, dst=hue_s)
        cv2.insertChannel(hue_s, hls_s, 0)
        np.take(table, _uniform_pool()[there].reshape(count, width), out=gain_s, mode="clip")
        luminance_s += np.multiply(1 - luminance_s, gain_s, out=gain_s)
        cv2.insertChannel(luminance_s, hls_s, 1)
        cv2.cvtColor(hls_s, cv2.COLOR_HLS2RGB, dst=rgb_s)
        cv2.convertScaleAbs(rgb_s, dst=result[part], alpha=255.0)
    return result
