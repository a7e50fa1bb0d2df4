"""Settings of an upscaler; light to import."""

from dataclasses import dataclass
from enum import Enum

from upscale.padding import Pad


class UpscaleMethod(Enum):
    """How crops are enlarged."""

    none = "none"  # not at all
    nearest = "nearest"  # each pixel repeated
    lanczos = "lanczos"  # by interpolation
    network = "network"  # by a super-resolution network that spandrel reads


class Precision(Enum):
    """The number type inside the network."""

    float32 = "float32"  # the reference
    bfloat16 = "bfloat16"  # a few grey levels from it at most; twice as fast on a CPU that has the instructions
    float16 = "float16"  # as published, on a GPU
    int8 = "int8"  # SRVGGNetCompact on a CPU: 0.6 of bfloat16's time, 1 to 2 grey levels from float32 on average


class Batching(Enum):
    """How crops of different sizes go through the network."""

    auto = "auto"  # what is fastest on the device: single on a CPU, masked on a GPU
    single = "single"  # one by one; on a CPU one crop a core
    masked = "masked"  # many on one canvas, masked after every convolution so that nothing leaks


@dataclass
class UpscalerConfig:
    """An upscaler."""

    method: UpscaleMethod = UpscaleMethod.network  # none, nearest, lanczos or network
    weights: str | None = None  # checkpoint of a network (.pth, .pt, .safetensors)
    url: str | None = None  # where a user fetches those weights; told when they are missing
    scale: int = 4  # enlargement, for nearest and lanczos; a network has its own
    pad: Pad = Pad.published  # pre-padding rule
    swap_channels: bool = False  # feed the network BGR, as the published system did by mistake
    precision: Precision = Precision.float32  # float32 (reference), bfloat16, float16 or int8
    batching: Batching = Batching.auto  # auto, single or masked
    batch_pixels: int = 262_144  # most input pixels on one canvas batch
    largest_pixels: int = 147_456  # a larger crop stays as it is: 384 x 384, the most that a scorer here looks at
