"""The parts that backbone, neck and head are made of. Tensors: B images, C channels, H rows, W columns."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

BN_EPS, BN_MOMENTUM = 1e-3, 0.03  # of every batch norm, as published


class Block(nn.Module):
    """A convolution without bias, batch norm, activation; the padding keeps the size at stride 1."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, act: type[nn.Module] = nn.SiLU):
        super().__init__()
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        parts = [("conv", conv), ("bn", nn.BatchNorm2d(outputs, BN_EPS, BN_MOMENTUM)), ("act", act())]
        self.block = nn.Sequential(OrderedDict(parts))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        out: Tensor = self.block(x_BCHW)
        return out


class Residual(nn.Module):
    """Two 3x3 blocks whose result is added to `alpha`, learned, times the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = Block(channels, channels, 3)
        self.conv2 = Block(channels, channels, 3)
        self.alpha = nn.Parameter(torch.ones(1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The same shape."""
        out: Tensor = self.conv2(self.conv1(x_BCHW)) + self.alpha * x_BCHW
        return out


class Chain(nn.Module):
    """Residual units, one after the other; the first stands apart, for its name's sake."""

    def __init__(self, channels: int, units: int):
        super().__init__()
        self.conv1 = Residual(channels)
        self.block = nn.Sequential(*(Residual(channels) for _ in range(units - 1))) if units > 1 else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The same shape."""
        out: Tensor = self.conv1(x_BCHW)
        return out if self.block is None else self.block(out)


class CrossStage(nn.Module):
    """Half of the channels through the chain, half past it, both joined again."""

    def __init__(self, inputs: int, outputs: int, units: int):
        super().__init__()
        hidden = outputs // 2
        self.cv1 = Block(inputs, hidden)
        self.cv2 = Block(inputs, hidden)
        self.cv3 = Block(2 * hidden, outputs)
        self.m = Chain(hidden, units)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        out: Tensor = self.cv3(torch.cat([self.m(self.cv1(x_BCHW)), self.cv2(x_BCHW)], 1))
        return out


class Pyramid(nn.Module):
    """Three max pools of 5x5 one after the other, read together with what went into them."""

    def __init__(self, channels: int):
        super().__init__()
        self.cv1 = Block(channels, channels // 2)
        self.cv2 = Block(2 * channels, channels)
        self.m = nn.MaxPool2d(5, 1, 2)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The same shape."""
        levels = [self.cv1(x_BCHW)]
        for _ in range(3):
            levels.append(self.m(levels[-1]))
        out: Tensor = self.cv2(torch.cat(levels, 1))
        return out


class Pooling(nn.Module):
    """The pyramid under the name that it has in the lists."""

    def __init__(self, channels: int):
        super().__init__()
        self.sppf = Pyramid(channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The same shape."""
        out: Tensor = self.sppf(x_BCHW)
        return out


class Upsample(nn.Module):
    """Twice the size, by a transposed convolution with bias."""

    def __init__(self, channels: int):
        super().__init__()
        self.upsample_transpose = nn.ConvTranspose2d(channels, channels, 2, 2)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2 H, 2 W)."""
        out: Tensor = self.upsample_transpose(x_BCHW)
        return out


class Fusion(nn.Module):
    """A coarser level, the same level and a finer level into one, at the size of the same level."""

    def __init__(self, same: int, finer: int, outputs: int):
        super().__init__()
        self.cv1 = Block(same, outputs, act=nn.ReLU)
        self.cv2 = Block(finer, outputs, act=nn.ReLU)
        self.cv3 = Block(3 * outputs, outputs, act=nn.ReLU)
        self.upsample = Upsample(outputs)
        self.downsample = Block(outputs, outputs, 3, 2, act=nn.ReLU)

    def forward(self, coarser: Tensor, same: Tensor, finer: Tensor) -> Tensor:
        """(B, outputs, H / 2, W / 2), (B, same, H, W), (B, finer, 2 H, 2 W) -> (B, outputs, H, W)."""
        parts = [self.upsample(coarser), self.cv1(same), self.downsample(self.cv2(finer))]
        out: Tensor = self.cv3(torch.cat(parts, 1))
        return out
