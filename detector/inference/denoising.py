"""Noise before the detector: how much of it an image holds, and a bilateral filter where that is much.

Clean images and JPEG's are estimated at 6 grey levels at most, Gaussian noise of variance 500 at 20 and more: between
them lies the threshold (docs/log.md).
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

NOISY_SIGMA = 8.0  # grey levels above which an image is filtered
_LAPLACIAN = np.asarray([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)  # blind to edges and slopes, norm 6
_NORMAL_MEDIAN = 0.6744897501960817  # median of |x| for x ~ N(0, 1)
_GREY_SHARE = math.sqrt(0.299**2 + 0.587**2 + 0.114**2)  # of a channel's noise that remains in the grey image


def noise_sigma(image: NDArray[np.uint8]) -> float:
    """The estimated standard deviation of an (H, W, 3) RGB image's noise a channel, in grey levels 0..255.

    The median of the absolute response to Immerkaer's Laplacian, which textures and edges move little; 0 for an image
    of fewer than 3 pixels a side. Source: Immerkaer, Fast Noise Variance Estimation (1996), Computer Vision and Image
    Understanding 64(2), doi:10.1006/cviu.1996.0060.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    response = np.abs(cv2.filter2D(grey, cv2.CV_32F, _LAPLACIAN))[1:-1, 1:-1]
    of_grey = float(np.median(response)) / (6 * _NORMAL_MEDIAN) if response.size else 0.0
    return of_grey / _GREY_SHARE


def denoise(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image itself where it is clean, else filtered by as much as its own noise asks for; same shape and type."""
    sigma = noise_sigma(image)
    if sigma <= NOISY_SIGMA:
        return image
    filtered = cv2.bilateralFilter(np.ascontiguousarray(image), 7, 2 * sigma, 2 + sigma / 40)
    return np.asarray(filtered, np.uint8)
