"""Reading a super-resolution checkpoint safely, and running it in any precision."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from core.errors import InputError, reason
from core.files import sha256_file
from core.weights import fetched
from upscale.integers import IntegerCompact
from upscale.settings import Precision, UpscalerConfig

DTYPES = {
    Precision.float32: torch.float32,
    Precision.bfloat16: torch.bfloat16,
    Precision.float16: torch.float16,
    Precision.int8: torch.float32,  # outside its integer convolutions
}
# Between zero-padded convolutions these keep zeros zero, wherever they stand.
KEEP_ZERO = (nn.Conv2d, nn.PReLU, nn.LeakyReLU, nn.ReLU, nn.PixelShuffle, nn.Upsample, nn.Identity)


class Network:
    """A network that spandrel reads, with what must be known to feed it.

    `scale`: enlargement. `multiple`: the crop's sides are padded to multiples of it, as Real-ESRGAN does at scales 2
    and 1, where its networks begin by folding pixels into channels. `local`: it consists of zero-padded convolutions
    and pointwise steps that keep zero zero. `maskable`: so crops of different sizes can share a masked canvas, which
    int8 rules out, as its steps follow from one crop.
    """

    def __init__(self, config: UpscalerConfig, device: str) -> None:
        descriptor, self.digest = _load(config)
        self.architecture = str(descriptor.architecture.id)
        self.local = self.architecture in {"Compact", "ESRGAN"} and _keeps_zero(descriptor.model)
        self.scale = int(descriptor.scale)
        self.multiple = {1: 4, 2: 2}.get(self.scale, 1) if self.local else 1
        self.dtype = DTYPES[config.precision]
        _check_precision(descriptor, config, device)
        whole = config.precision is Precision.int8
        self.maskable = self.local and not whole
        layout = {"memory_format": torch.channels_last} if self.dtype is not torch.float32 else {}
        self._descriptor = descriptor.to(torch.device(device), self.dtype)
        self.module = descriptor.model.eval().to(**layout) if layout else descriptor.model.eval()
        self._layout = layout
        self._integers = IntegerCompact(self.module, self.scale) if whole else None
        self.device = device

    def __call__(self, image_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 in 0..1 -> (N, 3, scale H, scale W) float32, not clamped for local networks."""
        if self._integers is not None:
            return self._integers(image_NCHW)
        inside = image_NCHW.to(self.dtype)
        if self._layout:
            inside = inside.contiguous(**self._layout)
        if self.architecture == "Compact" and self.dtype is not torch.float32:
            return self._compact(image_NCHW, inside)
        if self.local:
            return self.module(inside).float()
        return torch.cat([self._descriptor(one[None]) for one in inside]).float()  # pads to what the network needs

    def _compact(self, image_NCHW: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """SRVGGNetCompact.forward with its last sum in float32: bfloat16 would round the enlarged input to 8 bits."""
        for layer in self.module.body:
            inside = layer(inside)
        base = F.interpolate(image_NCHW, scale_factor=self.scale, mode="nearest")
        return self.module.upsampler(inside.float()) + base


def _keeps_zero(module: nn.Module) -> bool:
    leaves = [m for m in module.modules() if next(m.children(), None) is None]
    convolutions = [m for m in leaves if isinstance(m, nn.Conv2d)]
    return all(isinstance(m, KEEP_ZERO) for m in leaves) and all(m.padding_mode == "zeros" for m in convolutions)


def _check_precision(descriptor: Any, config: UpscalerConfig, device: str) -> None:
    name = config.precision.name
    if config.precision is Precision.float16 and device.startswith("cpu"):
        raise InputError("upscaler.precision: float16 needs a GPU; a CPU takes float32 or bfloat16")
    if config.precision is Precision.int8 and (descriptor.architecture.id != "Compact" or not device.startswith("cpu")):
        raise InputError("upscaler.precision: int8 is made for SRVGGNetCompact on a CPU; other networks and a GPU take "
                         "float32, bfloat16 or float16")  # fmt: skip
    supported = {"bfloat16": descriptor.supports_bfloat16, "float16": descriptor.supports_half}
    if not supported.get(name, True):
        raise InputError(f"upscaler.precision: {config.weights} ({descriptor.architecture.id}) does not run in {name}")


def _load(config: UpscalerConfig) -> tuple[Any, str]:  # spandrel's descriptor and the file's digest
    from spandrel import ImageModelDescriptor, ModelLoader

    weights = config.weights
    if weights is None:
        raise InputError("upscaler.weights: not given: name a preset, or give upscaler=FILE")
    path = fetched(weights)
    if not path.is_file():
        hint = f"; fetch {config.url} and put it at {path} (weights_dir=DIR names another folder), or give " \
               "upscaler.weights=FILE" if config.url else ""  # fmt: skip
        raise InputError(f"upscaler.weights: {weights}: no such file{hint}")
    try:
        descriptor = ModelLoader(device="cpu").load_from_file(path)
    except Exception as error:  # spandrel and torch raise many kinds for broken, foreign and unsafe files
        raise InputError(f"{weights}: cannot be loaded as a super-resolution network: {reason(error)}") from error
    if not isinstance(descriptor, ImageModelDescriptor):
        raise InputError(f"{weights}: holds a network that does not enlarge single images")
    if descriptor.input_channels != 3 or descriptor.output_channels != 3:
        raise InputError(f"{weights}: takes {descriptor.input_channels} channels and gives "
                         f"{descriptor.output_channels}; crops have 3")  # fmt: skip
    return descriptor, sha256_file(path)
