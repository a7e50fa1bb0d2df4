"""The one place that builds an upscaler; light to import."""

from typing import TYPE_CHECKING

from upscale.settings import UpscaleMethod, UpscalerConfig

if TYPE_CHECKING:
    from core.stages import Upscaler


def build_upscaler(config: UpscalerConfig, device: str = "cpu") -> "Upscaler":
    """The upscaler of these settings on `device`; InputError for weights that are missing or unreadable."""
    from core.errors import InputError

    for name in ("scale", "batch_pixels", "largest_pixels"):
        if getattr(config, name) < 1:
            raise InputError(f"upscaler.{name}: {getattr(config, name)} is not at least 1")
    if config.method is UpscaleMethod.network:
        from upscale.network import NetworkUpscaler

        return NetworkUpscaler(config, device)
    from upscale.interpolation import Interpolator

    return Interpolator(config.method, config.scale, config.largest_pixels)
