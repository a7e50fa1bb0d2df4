"""Settings of an upscaler and the one place that builds it; light to import."""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from upscale.padding import Pad

if TYPE_CHECKING:
    from core.stages import Upscaler


class UpscaleMethod(Enum):
    """How crops are enlarged."""

    none = "none"  # not at all
    lanczos = "lanczos"  # by interpolation
    network = "network"  # by a super-resolution network that spandrel reads


@dataclass
class UpscalerConfig:
    """An upscaler."""

    method: UpscaleMethod = UpscaleMethod.network  # none, lanczos or network
    name: str | None = None  # its name in policies; default the weights' file name
    weights: str | None = None  # checkpoint of a network (.pth, .pt, .safetensors)
    url: str | None = None  # where a user fetches those weights; told when they are missing
    scale: int = 4  # enlargement, for lanczos; a network has its own
    pad: Pad = Pad.published  # pre-padding rule
    swap_channels: bool = False  # feed the network BGR, as the published system did by mistake
    precision: str = "float32"  # float32 (reference) or bfloat16


def build_upscaler(config: UpscalerConfig, device: str = "cpu") -> "Upscaler":
    """The upscaler of these settings on `device`; InputError for weights that are missing or unreadable."""
    from upscale.realesrgan import Interpolator, NetworkUpscaler

    if config.method is UpscaleMethod.network:
        return NetworkUpscaler(config, device)
    return Interpolator(config.scale if config.method is UpscaleMethod.lanczos else 1)
