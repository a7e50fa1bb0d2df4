"""Crops of different sizes on one canvas, with results equal to one by one.

A zero-padded convolution reads beyond a crop's edge: zeros when the crop goes alone, but on a larger canvas whatever
the convolution before wrote there. Setting everything outside the crop to zero after each convolution makes the two
equal; what stands between (activations, sums, concatenation, nearest enlargement, pixel shuffles) keeps zeros zero.
"""

import threading
from collections.abc import Iterator, Sequence

import torch
from torch import nn

Size = tuple[int, int]  # height, width


class MaskedCanvas:
    """Runs a local network over crops of different sizes at once."""

    def __init__(self, module: nn.Module) -> None:
        self._masks: _Masks | None = None
        self._lock = threading.Lock()  # the masks of one batch at a time
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(self._mask)

    def _mask(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...], output_NCHW: torch.Tensor) -> torch.Tensor:
        if self._masks is None:
            return output_NCHW
        return output_NCHW.mul_(self._masks.at(output_NCHW))

    def run(self, network: object, images_CHW: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """`network` over each (3, H, W) image; returns (3, scale H, scale W) each."""
        sizes = [(image.shape[1], image.shape[2]) for image in images_CHW]
        height, width = max(h for h, _ in sizes), max(w for _, w in sizes)
        canvas_NCHW = images_CHW[0].new_zeros(len(sizes), 3, height, width)
        for place, (image, (h, w)) in enumerate(zip(images_CHW, sizes, strict=True)):
            canvas_NCHW[place, :, :h, :w] = image
        with self._lock:
            self._masks = _Masks(sizes, (height, width)) if len(set(sizes)) > 1 else None
            try:
                output_NCHW = network(canvas_NCHW)  # type: ignore[operator]
            finally:
                self._masks = None
        scale = output_NCHW.shape[-1] // width
        return [output_NCHW[i, :, : h * scale, : w * scale] for i, (h, w) in enumerate(sizes)]


class _Masks:
    """The crops' insides at every resolution inside the network."""

    def __init__(self, sizes: Sequence[Size], canvas: Size) -> None:
        self._sizes, self._canvas = sizes, canvas
        self._made: dict[Size, torch.Tensor] = {}

    def at(self, features_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, 1, H, W) of ones inside each crop at the resolution of `features_NCHW`."""
        height, width = features_NCHW.shape[-2:]
        if (height, width) not in self._made:
            mask = features_NCHW.new_zeros(len(self._sizes), 1, height, width)
            for place, (h, w) in enumerate(self._sizes):
                mask[place, :, : h * height // self._canvas[0], : w * width // self._canvas[1]] = 1
            self._made[height, width] = mask
        return self._made[height, width]


def batches(sizes: Sequence[Size], most_pixels: int) -> Iterator[list[int]]:
    """Places of crops that share a canvas: of similar size, at most `most_pixels` a canvas batch, at least one crop."""
    batch: list[int] = []
    top = left = 0
    for place in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        height, width = max(top, sizes[place][0]), max(left, sizes[place][1])
        if batch and height * width * (len(batch) + 1) > most_pixels:
            yield batch
            batch, height, width = [], *sizes[place]
        batch.append(place)
        top, left = height, width
    if batch:
        yield batch
