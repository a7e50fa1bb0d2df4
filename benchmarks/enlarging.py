"""Enlarging mixed crops: our upscaler against the stock float32 loop of Real-ESRGAN.

    python benchmarks/enlarging.py [--rounds 5]

32 crops of 20 to 80 px through realesr-general-x4v3's network (SRVGGNetCompact, 64 features, 32 convolutions),
published padding. Its trained weights are not at hand, so they are drawn (He's start), and the last layer is scaled
until the network adds to the nearest enlargement as much as a Lanczos enlargement does; rounding errors then have a
true network's size. The stock loop is RealESRGANer.enhance's: one crop at a time, every core on it. Rounds alternate.
Exit status 1 when bfloat16 misses 2x or a value lies more than 2 grey levels from the stock loop's.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact  # noqa: F401  (spandrel registers the architecture)
from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

from upscale.build import build_upscaler
from upscale.settings import Batching, Precision, UpscalerConfig

CROPS, SMALLEST, LARGEST, GOAL, MOST_LEVELS = 32, 20, 80, 2.0, 2
STOCK, GOAL_WAY = "stock float32 loop", "bfloat16, auto"
Image = NDArray[np.uint8]
Way = Callable[[], Sequence[Image]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(os.cpu_count() or 1)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, "
          f"avx512_bf16 {torch.cpu._is_avx512_bf16_supported()}, amx {torch.cpu._is_amx_tile_supported()}")  # fmt: skip
    crops = drawn_crops()
    network = drawn_network(crops)
    with tempfile.TemporaryDirectory() as folder:
        save_file(network.state_dict(), f"{folder}/drawn.safetensors")
        ways: dict[str, Way] = {STOCK: lambda: [stock(network, crop) for crop in crops]}
        for precision in (Precision.float32, Precision.bfloat16):
            for batching in (Batching.auto, Batching.masked):
                ways[f"{precision.name}, {batching.name}"] = ours(
                    f"{folder}/drawn.safetensors", precision, batching, crops
                )
        raise SystemExit(0 if report(*measure(ways, rounds)) else 1)


def ours(weights: str, precision: Precision, batching: Batching, crops: Sequence[Image]) -> Way:
    """Our upscaler over the crops."""
    upscaler = build_upscaler(UpscalerConfig(weights=weights, precision=precision, batching=batching))
    return lambda: upscaler.upscale(crops)


def drawn_crops() -> list[Image]:
    """Crops with soft and hard edges, as cut from photographs."""
    rng = np.random.default_rng(0)
    crops = []
    for height, width in rng.integers(SMALLEST, LARGEST + 1, (CROPS, 2)):
        coarse = rng.integers(0, 256, (height // 4 + 2, width // 4 + 2, 3), np.uint8)
        crop = cv2.resize(coarse, (int(width), int(height)), interpolation=cv2.INTER_CUBIC)
        cv2.rectangle(crop, (width // 4, height // 4), (width // 2, height // 2), (200, 40, 30), -1)
        crops.append(crop)
    return crops


def drawn_network(crops: Sequence[Image]) -> SRVGGNetCompact:
    """Random weights whose output differs from the nearest enlargement by as much as Lanczos does."""
    torch.manual_seed(0)
    network = SRVGGNetCompact(num_feat=64, num_conv=32, upscale=4).eval()
    for layer in network.body:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, a=0.25)
    wanted, drawn = [], []
    for crop in crops:
        nearest = crop.repeat(4, 0).repeat(4, 1).astype(np.float64)
        smooth = cv2.resize(crop, None, fx=4, fy=4, interpolation=cv2.INTER_LANCZOS4)
        wanted.append(np.square(smooth - nearest).mean())
        with torch.no_grad():
            added = network(tensor(crop)) * 255 - torch.from_numpy(nearest).permute(2, 0, 1)
        drawn.append(added.square().mean().item())
    with torch.no_grad():
        network.body[-1].weight.mul_(float(np.sqrt(np.mean(wanted) / np.mean(drawn))))
    print(f"the network adds {np.sqrt(np.mean(wanted)):.1f} grey levels (root mean square) to the nearest enlargement")
    return network


def tensor(crop: Image) -> torch.Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) in 0..1."""
    return torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255


def stock(network: SRVGGNetCompact, crop: Image, pre_pad: int = 10) -> Image:
    """RealESRGANer.enhance for one crop."""
    with torch.no_grad():
        output = network(F.pad(tensor(crop), (0, pre_pad, 0, pre_pad), "reflect"))
    output = output[0, :, : crop.shape[0] * 4, : crop.shape[1] * 4].clamp(0, 1).permute(1, 2, 0).numpy()
    return (output * 255.0).round().astype(np.uint8)


def measure(ways: Mapping[str, Way], rounds: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of each way's rounds, and its largest difference from the stock loop in grey levels."""
    made = {name: way() for name, way in ways.items()}  # warm-up
    levels = {
        name: max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(images, made[STOCK], strict=True))
        for name, images in made.items()
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            spent[name].append(time.perf_counter() - started)
    return spent, levels


def report(spent: Mapping[str, Sequence[float]], levels: Mapping[str, int]) -> bool:
    """Print a line a way; whether the goal is met."""
    medians = {name: statistics.median(times) for name, times in spent.items()}
    for name, seconds in medians.items():
        print(f"{name:<20} {seconds:6.2f} s for {CROPS} crops, {medians[STOCK] / seconds:5.2f}x, "
              f"at most {levels[name]} grey levels from stock", flush=True)  # fmt: skip
    return medians[STOCK] / medians[GOAL_WAY] >= GOAL and max(levels.values()) <= MOST_LEVELS


if __name__ == "__main__":
    main()
