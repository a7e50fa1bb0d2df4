"""Sensor noise as albumentations 1.4.8 (mid-2024) defined it, drawn from pools instead of afresh: fast and equal.

A pool holds a few million draws of a distribution; an image takes stretches of it that start at random places, with
a random sign where the distribution is symmetric. Before rounding to whole grey levels the noise has the published
distribution; the sum is rounded to the nearest level where 1.4.8 cut it off (half a level of difference in the mean).
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

_POOL_SIZE = 1 << 22
_STRETCH = 1 << 19  # values taken from one place; more places make images less alike, fewer are faster
_STRIP_VALUES = 1 << 16  # values worked on at a time, so that intermediate arrays stay in the processor's cache


@lru_cache(maxsize=1)
def _normal_pool() -> NDArray[np.float32]:
    """(1, P) standard normal draws; an odd stretch is mirrored so that mean and skew are exactly zero."""
    half = np.random.default_rng(20240531).standard_normal(_POOL_SIZE // 2, np.float32)
    pool = np.stack([half, -half], 1).reshape(1, -1)
    return np.random.default_rng(7).permuted(pool, axis=1)


@lru_cache(maxsize=1)
def _uniform_pool() -> NDArray[np.uint16]:
    """(P,) draws of a uniform 16-bit number: places in a distribution's table of 65,536 quantiles."""
    return np.random.default_rng(20240601).integers(0, 1 << 16, _POOL_SIZE, np.uint16)


def _stretches(count: int, longest: int, rng: np.random.Generator) -> Iterator[tuple[slice, slice]]:
    """Cut `count` values into stretches of at most `longest`, each with a random place in a pool."""
    starts = rng.integers(0, _POOL_SIZE - longest, -(-count // longest))
    for number, start in enumerate(starts.tolist()):
        first = number * longest
        last = min(first + longest, count)
        yield slice(first, last), slice(start, start + last - first)


def gauss_noise(sigma: float, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(count,) float32 draws of N(0, sigma^2): the very values that `add_gauss_noise` adds."""
    noise = np.empty((1, count), np.float32)
    pool = _normal_pool()
    for here, there in _stretches(count, _STRETCH, rng):
        sign = 1.0 if rng.random() < 0.5 else -1.0
        cv2.addWeighted(pool[:, there], sign * sigma, pool[:, there], 0.0, 0.0, dst=noise[:, here])
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
    noise = gauss_noise(sigma, flat.size, rng)[None]
    cv2.add(flat, noise, dst=result, dtype=cv2.CV_8U)
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
    """
    hue = gauss_noise(color_shift * 360 * intensity, count, rng)
    table = poisson_table(luminance_std * intensity * 255)
    gain = np.empty(count, np.float32)
    for here, there in _stretches(count, _STRETCH, rng):
        np.take(table, _uniform_pool()[there], out=gain[here], mode="clip")
    return hue, gain


def luminance_std(image: NDArray[np.uint8]) -> float:
    """The standard deviation of HLS luminance, (max + min) / 2 of each pixel, on the 0..1 scale."""
    red, green, blue = cv2.split(image)
    high, low = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    both = cv2.add(high, low, dtype=cv2.CV_16U)
    return float(cv2.meanStdDev(both)[1][0, 0]) / 510


def add_iso_noise(
    image: NDArray[np.uint8], color_shift: float, intensity: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB seen through a noisy sensor: hue jitter, and luminance raised by shot noise.

    Works in HLS on strips of rows: hue += noise, luminance += gain * (1 - luminance).
    """
    height, width = image.shape[:2]
    hue_noise, gain = iso_noise(luminance_std(image), color_shift, intensity, height * width, rng)
    hue_noise, gain = hue_noise.reshape(height, width), gain.reshape(height, width)
    result = np.empty_like(image)
    rows = max(_STRIP_VALUES // width, 1)
    for top in range(0, height, rows):
        part = slice(top, min(top + rows, height))
        scaled = cv2.addWeighted(image[part], 1 / 255, image[part], 0.0, 0.0, dtype=cv2.CV_32F)
        hue, luminance, saturation = cv2.split(cv2.cvtColor(scaled, cv2.COLOR_RGB2HLS))
        cv2.add(hue, hue_noise[part], dst=hue)
        room = 1.0 - luminance
        luminance += np.multiply(room, gain[part], out=room)
        _wrap_degrees(hue)
        cv2.cvtColor(cv2.merge([hue, luminance, saturation]), cv2.COLOR_HLS2RGB, dst=scaled)
        cv2.convertScaleAbs(scaled, dst=result[part], alpha=255.0)
    return result


def _wrap_degrees(hue: NDArray[np.float32]) -> None:
    """Bring hues back into 0..360 in place, as OpenCV's conversion expects; noise never leaves -360..720."""
    hue += np.float32(360.0) * (hue < 0)
    hue -= np.float32(360.0) * (hue > 360)
