"""SRVGGNetCompact with 8-bit integer convolutions, by the kernels of oneDNN that torch ships.

Shapes: N crops, C channels, H and W pixels, P = H W. Weights are rounded once, by the largest of each filter; what
flows between two convolutions is rounded crop by crop, by the smallest and largest value of that crop, so nothing has
to be measured beforehand and no crop depends on another. The first convolution and the last sum stay float32.
Source of the scheme: Jacob et al., 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference" (arXiv:1712.05877), section 2, with one scale a filter (Krishnamoorthi, 2018,
arXiv:1806.08342).
"""

from typing import Any

import numba
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from core.errors import InputError

Floats = NDArray[np.float32]
FINITE = {"nnan", "ninf", "nsz"}  # or the compiler cannot use vector instructions for comparisons
STRIDE = PADDING = DILATION = [1, 1]


class IntegerCompact:
    """The network as a function of float32 images; InputError for a network of another shape."""

    def __init__(self, module: nn.Module, scale: int) -> None:
        layers: list[Any] = list(module.body)  # type: ignore[arg-type]
        convolutions, activations = layers[::2], layers[1::2]
        if not all(isinstance(layer, nn.PReLU) for layer in activations):
            raise InputError("upscaler.precision: int8 is made for SRVGGNetCompact with PReLU, which this is not")
        self._scale = scale
        self._first = convolutions[0].to(memory_format=torch.channels_last)
        features = self._first.out_channels
        self._slopes = [layer.weight.detach().expand(features).numpy() for layer in activations]
        self._rest = [_Convolution(layer) for layer in convolutions[1:]]

    def __call__(self, image_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in 0..1 -> (N, 3, scale H, scale W) float32, each image by itself."""
        return torch.cat([self._one(image_NCHW[place : place + 1]) for place in range(len(image_NCHW))])

    def _one(self, image_1CHW: torch.Tensor) -> torch.Tensor:
        made_1CHW = self._first(image_1CHW.contiguous(memory_format=torch.channels_last))
        for slopes, convolution in zip(self._slopes, self._rest, strict=True):
            made_1CHW = convolution(*_rounded(made_1CHW, slopes))
        base = F.interpolate(image_1CHW, scale_factor=self._scale, mode="nearest")
        return F.pixel_shuffle(made_1CHW, self._scale) + base


class _Convolution:
    """A 3x3 convolution of unsigned by signed 8-bit numbers that gives float32."""

    def __init__(self, layer: nn.Conv2d) -> None:
        weight = layer.weight.detach()
        self._scales = weight.abs().amax((1, 2, 3)).clamp_min(1e-12) / 127
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        whole = (weight / self._scales[:, None, None, None]).round().to(torch.int8)
        self._bias = layer.bias.detach() if layer.bias is not None else None
        self._packed = torch.ops.onednn.qconv_prepack(
            whole, self._scales, 1.0, 0, STRIDE, PADDING, DILATION, 1, None
        )  # fmt: skip

    def __call__(self, whole_1CHW: torch.Tensor, step: float, zero: int) -> torch.Tensor:
        return torch.ops.onednn.qconv2d_pointwise(
            whole_1CHW, step, zero, self._packed, self._scales, self._zeros, self._bias, STRIDE, PADDING, DILATION, 1,
            1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip


def _rounded(made_1CHW: torch.Tensor, slopes_C: Floats) -> tuple[torch.Tensor, float, int]:
    """PReLU, then whole numbers 0..255 with their step and the number that stands for zero."""
    _, channels, height, width = made_1CHW.shape
    made_PC = made_1CHW.permute(0, 2, 3, 1).reshape(-1, channels).numpy()
    highest_C, lowest_C = _extremes(made_PC)
    ends_2C = np.stack([np.where(end_C > 0, end_C, end_C * slopes_C) for end_C in (highest_C, lowest_C)])
    high, low = (
        max(float(ends_2C.max()), 0.0),
        min(float(ends_2C.min()), 0.0),
    )  # zero, the padding, is always among them
    step = max((high - low) / 255, 1e-12)
    zero = round(-low / step)
    whole_PC = _activated(made_PC, slopes_C, np.float32(1 / step), np.float32(zero))
    return torch.from_numpy(whole_PC).view(1, height, width, channels).permute(0, 3, 1, 2), step, zero


@numba.njit(nogil=True, cache=True, fastmath=FINITE)
def _extremes(made_PC: Floats) -> tuple[Floats, Floats]:  # pragma: no cover - compiled
    """The largest and the smallest value of each channel."""
    highest_C, lowest_C = made_PC[0].copy(), made_PC[0].copy()
    for pixel in range(made_PC.shape[0]):
        for channel in range(made_PC.shape[1]):
            value = made_PC[pixel, channel]
            highest_C[channel] = value if value > highest_C[channel] else highest_C[channel]
            lowest_C[channel] = value if value < lowest_C[channel] else lowest_C[channel]
    return highest_C, lowest_C


@numba.njit(nogil=True, cache=True, fastmath=FINITE)
def _activated(
    made_PC: Floats, slopes_C: Floats, per_step: np.float32, zero: np.float32
) -> NDArray[np.uint8]:  # pragma: no cover - compiled
    """PReLU and rounding in one pass; torch needs four."""
    whole_PC = np.empty(made_PC.shape, np.uint8)
    for pixel in range(made_PC.shape[0]):
        for channel in range(made_PC.shape[1]):
            value = made_PC[pixel, channel]
            value = value if value > 0 else value * slopes_C[channel]
            value = value * per_step + zero + np.float32(0.5)
            value = min(max(value, np.float32(0)), np.float32(255))
            whole_PC[pixel, channel] = np.uint8(value)
    return whole_PC
