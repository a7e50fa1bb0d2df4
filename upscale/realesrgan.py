"""Enlarging crops: a super-resolution network with Real-ESRGAN's padding, or plain interpolation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from core.errors import InputError
from core.files import sha256_bytes, sha256_file
from core.stages import Image
from upscale.build import UpscalerConfig
from upscale.padding import pad_of


class Interpolator:
    """Lanczos enlargement; scale 1 leaves crops as they are."""

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self.policy = "none" if scale == 1 else f"lanczos x{scale}"
        self.key = sha256_bytes(self.policy.encode())[:16]

    def upscale(self, crops: Sequence[Image]) -> list[Image]:
        """Each crop enlarged."""
        if self.scale == 1:
            return list(crops)
        return [
            cv2.resize(c, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_LANCZOS4).reshape(
                c.shape[0] * self.scale, c.shape[1] * self.scale, 3
            )
            for c in crops
        ]


class NetworkUpscaler:
    """A network that spandrel reads, fed crop by crop with Real-ESRGAN's right-and-bottom reflection."""

    def __init__(self, config: UpscalerConfig, device: str) -> None:
        self._config, self._device = config, device
        self._dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[config.precision]
        descriptor, digest = _load(config)
        self.scale = int(descriptor.scale)
        self._model = descriptor.model.to(device=device, dtype=self._dtype).eval()
        name = config.name or Path(str(config.weights)).stem
        self.policy = f"{name} x{self.scale} pad={config.pad.value}" + (" bgr" if config.swap_channels else "")
        self.key = sha256_bytes(f"{digest} {self.policy} {config.precision}".encode())[:16]

    def upscale(self, crops: Sequence[Image]) -> list[Image]:
        """Each crop enlarged; one that the pad rule leaves untouched comes back at its own size."""
        return [self._one(crop) for crop in crops]

    @torch.inference_mode()
    def _one(self, crop: Image) -> Image:
        height, width = crop.shape[:2]
        pad = pad_of(self._config.pad, width, height)
        if pad is None:
            return crop
        image = torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None].float() / 255
        if self._config.swap_channels:
            image = image.flip(1)
        even_w, even_h = ((-(width + pad)) % 2, (-(height + pad)) % 2) if self.scale == 2 else (0, 0)
        image = _reflect(image, pad, pad)
        image = _reflect(image, even_w, even_h)
        output = self._model(image.to(self._device, self._dtype)).float().clamp_(0, 1)
        output = output[0, :, : height * self.scale, : width * self.scale]
        if self._config.swap_channels:
            output = output.flip(0)
        return (output * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def _reflect(image: torch.Tensor, right: int, bottom: int) -> torch.Tensor:
    if not right and not bottom:
        return image
    fits = right < image.shape[-1] and bottom < image.shape[-2]
    return F.pad(image, (0, right, 0, bottom), "reflect" if fits else "replicate")


def _load(config: UpscalerConfig) -> tuple[Any, str]:  # spandrel's descriptor and the file's digest
    from spandrel import ImageModelDescriptor, ModelLoader

    if not config.weights or not Path(config.weights).is_file():
        hint = f"; fetch {config.url} and give upscaler.weights=FILE" if config.url else ""
        raise InputError(f"upscaler.weights: {config.weights or 'not given'}: no such file{hint}")
    try:
        descriptor = ModelLoader(device="cpu").load_from_file(config.weights)
    except Exception as error:  # spandrel and torch raise many kinds for broken, foreign and unsafe files
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{config.weights}: cannot be loaded as a super-resolution network: {reason}") from error
    if not isinstance(descriptor, ImageModelDescriptor):
        raise InputError(f"{config.weights}: holds a network that does not enlarge single images")
    return descriptor, sha256_file(config.weights)
