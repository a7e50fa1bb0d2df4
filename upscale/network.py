"""Enlarging crops by a super-resolution network, padded as Real-ESRGAN pads.

Shapes: N crops, C = 3 channels (RGB unless the published swap is asked for), H and W pixels.
Source of the padding: RealESRGANer.pre_process and post_process in xinntao/Real-ESRGAN v0.3.0.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F

from core.files import sha256_bytes
from core.stages import Image, require_finite
from upscale.masking import MaskedCanvas, batches
from upscale.padding import pad_of
from upscale.settings import Batching, UpscalerConfig
from upscale.weights import Network


class NetworkUpscaler:
    """A network that spandrel reads, with Real-ESRGAN's right-and-bottom reflection.

    On a CPU the crops of one call go through one a core, since several cores on one small convolution mostly wait for
    each other; on a GPU they share masked canvases. `upscale` may be called from several threads.
    """

    def __init__(self, config: UpscalerConfig, device: str) -> None:
        self._config = config
        self._network = Network(config, device)
        self.scale = self._network.scale
        swap = " bgr" if config.swap_channels else ""
        # By content: the same weights under another name are the same policy, others of the same name are not.
        self.policy = (
            f"{self._network.architecture} {self._network.digest[:8]} x{self.scale} pad={config.pad.name}{swap}"
        )
        made_of = f"{self._network.digest} {self.policy} {config.precision.name} {config.largest_pixels}"
        self.key = sha256_bytes(made_of.encode())[:16]
        masked = config.batching is Batching.masked or (config.batching is Batching.auto and device != "cpu")
        self.batched = masked and self._network.maskable
        self._canvas = MaskedCanvas(self._network.module) if self.batched else None
        self._pool: ThreadPoolExecutor | None = None
        self._pool_lock = threading.Lock()

    def upscale(self, crops: Sequence[Image]) -> list[Image]:
        """Each crop enlarged; one too large or left untouched by the pad rule comes back at its own size."""
        pads = [self._pad(crop.shape[1], crop.shape[0]) for crop in crops]
        made = list(crops)
        places = [place for place, pad in enumerate(pads) if pad is not None]
        if self._canvas is not None:
            for place, image in self._on_canvases(crops, pads, places):
                made[place] = image
            return made
        largest_first = sorted(places, key=lambda place: -crops[place].size)
        for place, image in zip(
            largest_first, self._each(lambda p: self._one(crops[p], pads[p] or 0), largest_first), strict=True
        ):
            made[place] = image
        return made

    def _pad(self, width: int, height: int) -> int | None:
        # A wrong box may be the whole image, whose features would take gigabytes at four times its size.
        return None if width * height > self._config.largest_pixels else pad_of(self._config.pad, width, height)

    @torch.inference_mode()
    def _one(self, crop: Image, pad: int) -> Image:
        output_CHW = self._network(self._tensor(crop, pad)[None].to(self._network.device))[0]
        return self._image(output_CHW, crop)

    @torch.inference_mode()
    def _on_canvases(
        self, crops: Sequence[Image], pads: Sequence[int | None], places: Sequence[int]
    ) -> list[tuple[int, Image]]:
        tensors = {p: self._tensor(crops[p], pads[p] or 0).to(self._network.device) for p in places}
        sizes = [(int(tensors[p].shape[1]), int(tensors[p].shape[2])) for p in places]
        made = []
        assert self._canvas is not None
        for batch in batches(sizes, self._config.batch_pixels):
            chosen = [places[i] for i in batch]
            outputs = self._canvas.run(self._network, [tensors[p] for p in chosen])
            made += [(p, self._image(output, crops[p])) for p, output in zip(chosen, outputs, strict=True)]
        return made

    def _tensor(self, crop: Image, pad: int) -> torch.Tensor:
        """(H, W, 3) uint8 -> (3, H + pad, W + pad) float32 in 0..1, and on to the network's multiple."""
        image_NCHW = torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None].float() / 255
        if self._config.swap_channels:
            image_NCHW = image_NCHW.flip(1)
        image_NCHW = _reflect(image_NCHW, pad, pad)
        height, width = image_NCHW.shape[-2:]
        return _reflect(image_NCHW, -width % self._network.multiple, -height % self._network.multiple)[0]

    def _image(self, output_CHW: torch.Tensor, crop: Image) -> Image:
        """The network's output without the padding, as RGB uint8."""
        if not torch.isfinite(output_CHW).all():
            require_finite(output_CHW.float().cpu().numpy(), "upscaler", str(self._config.weights))
        output_CHW = output_CHW[:, : crop.shape[0] * self.scale, : crop.shape[1] * self.scale].float().clamp(0, 1)
        if self._config.swap_channels:
            output_CHW = output_CHW.flip(0)
        return (output_CHW * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()

    def _each(self, do: Callable[[int], Image], places: Sequence[int]) -> list[Image]:
        """`do` for every place, on a CPU one a core."""
        threads = torch.get_num_threads() if self._network.device == "cpu" else 1
        if threads == 1 or len(places) < 2:
            return [do(place) for place in places]
        with self._pool_lock:
            if self._pool is None:
                self._pool = _single_threaded_pool(threads)
        return list(self._pool.map(do, places))


def _single_threaded_pool(threads: int) -> ThreadPoolExecutor:
    """A pool whose threads each compute on one core, without changing that for the rest of the process.

    `torch.set_num_threads` holds for the calling thread and for threads that compute for the first time later; so it
    is set in each worker and then set back here.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="upscale")
    started = threading.Barrier(threads + 1)

    def begin() -> None:
        torch.set_num_threads(1)
        started.wait()

    for _ in range(threads):
        pool.submit(begin)
    started.wait()
    torch.set_num_threads(threads)
    return pool


def _reflect(image_NCHW: torch.Tensor, right: int, bottom: int) -> torch.Tensor:
    """Reflected to the right and below; repeated where a side is too small, which the published code refuses."""
    if not right and not bottom:
        return image_NCHW
    fits = right < image_NCHW.shape[-1] and bottom < image_NCHW.shape[-2]
    return F.pad(image_NCHW, (0, right, 0, bottom), "reflect" if fits else "replicate")
