"""Enlarging mixed crops with trained weights: our number types against Real-ESRGAN's stock loop and against the limit.

    python benchmarks/enlarging.py [--rounds 7] [--threads 1]

32 crops of drawn scenes through realesr-animevideov3-x4 (`upscale.fetch`), published padding. The stock loop is
RealESRGANer.enhance's: one crop at a time in float32. The limit is the time of the network's 3x3 64-to-64 convolution
on the same crops, times the network's arithmetic over that convolution's. Rounds take the ways in turn within one
process, so ratios hold on a busy machine too; processor seconds stand beside wall seconds. Differences are against
float32, in grey levels.
Exit status 1 when 8-bit crops take more than 0.7 of bfloat16's time or differ by more than 2.5 grey levels on
average, or when bfloat16 takes more than 1.25 of its limit.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from spandrel import ModelLoader

from benchmarks.recording import record, take_json
from core.images import read_image
from data.crops import main as cut
from data.cropset import read_crop_set
from data.scenes import main as scenes
from upscale.build import build_upscaler
from upscale.fetch.conversion import convert, metadata_of
from upscale.fetch.package import model_files
from upscale.fetch.settings import Trained
from upscale.fetch.writing import write_safetensors
from upscale.network import _single_threaded_pool
from upscale.settings import Batching, Precision, UpscalerConfig

CROPS, PAD = 32, 10
LESS, MEAN_LEVELS, OVER_LIMIT = 0.7, 2.5, 1.25
STOCK, FLOAT, FAST, WHOLE = "stock float32 loop", "float32", "bfloat16", "int8"
LIMITS = {FLOAT: "limit, float32", FAST: "limit, bfloat16"}
NAME = Trained.realesr_animevideov3_x4
CONVOLUTIONS = (3 * 64 + 16 * 64 * 64 + 64 * 48) / (64 * 64)  # the network's arithmetic in 64-to-64 convolutions
Image = NDArray[np.uint8]
Way = Callable[[], Sequence[Image]]
Times = Mapping[str, Sequence[tuple[float, float]]]  # wall and processor seconds of each round


def main() -> None:
    """Measure and print."""
    file = take_json()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="cores; with several, each takes a crop of its own")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "spandrel", "numba", "opencv-python"))
    print(f"{versions}; {given.threads} threads, {torch.backends.cpu.get_cpu_capability()}, avx512_bf16 "
          f"{torch.cpu._is_avx512_bf16_supported()}, avx512_vnni {torch.cpu._is_vnni_supported()}; "
          f"{given.rounds} rounds")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        crops = demo_crops(Path(folder))
        weights = Path(folder) / f"{NAME.name}.safetensors"
        write_safetensors(weights, convert(NAME, model_files(NAME)), metadata_of(NAME))
        ways = {STOCK: stock(str(weights), crops)}
        for precision in (Precision.float32, Precision.bfloat16, Precision.int8):
            ways[precision.name] = ours(str(weights), precision, crops)
        for name, dtype in ((FLOAT, torch.float32), (FAST, torch.bfloat16)):
            ways[LIMITS[name]] = limit(dtype, crops, given.threads)
        raise SystemExit(0 if report(measure(ways, given.rounds), differences(ways), file) else 1)


def ours(weights: str, precision: Precision, crops: Sequence[Image]) -> Way:
    """Our upscaler over the crops."""
    upscaler = build_upscaler(UpscalerConfig(weights=weights, precision=precision, batching=Batching.single))
    return lambda: upscaler.upscale(crops)


def stock(weights: str, crops: Sequence[Image]) -> Way:
    """RealESRGANer.enhance over the crops."""
    network = ModelLoader(device="cpu").load_from_file(weights).model.eval()

    def one(crop: Image) -> Image:
        image_NCHW = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            output = network(F.pad(image_NCHW, (0, PAD, 0, PAD), "reflect"))
        output = output[0, :, : crop.shape[0] * 4, : crop.shape[1] * 4].clamp(0, 1).permute(1, 2, 0).numpy()
        return (output * 255.0).round().astype(np.uint8)

    return lambda: [one(crop) for crop in crops]


def limit(dtype: torch.dtype, crops: Sequence[Image], threads: int) -> Way:
    """The convolution that the network consists of, over features of the crops' sizes."""
    layout = torch.channels_last if dtype is torch.bfloat16 else torch.contiguous_format
    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(dtype=dtype, memory_format=layout)
    sizes = [(crop.shape[0] + PAD, crop.shape[1] + PAD) for crop in crops]
    features = [torch.randn(1, 64, *size).to(dtype).contiguous(memory_format=layout) for size in sizes]
    pool = _single_threaded_pool(threads) if threads > 1 else None

    def convolve(feature_1CHW: torch.Tensor) -> None:
        with torch.inference_mode():
            layer(feature_1CHW)

    def all_of_them() -> Sequence[Image]:
        list(pool.map(convolve, features) if pool is not None else map(convolve, features))
        return []

    return all_of_them


def demo_crops(folder: Path) -> list[Image]:
    """Targets of scenes drawn as the demo draws them, none of which the demo knows; as many as there are CROPS."""
    drawn = ["num_images=12", "seed=77", "size=[640,368]", "target_size=[60,40]", "same_kind=0.8"]
    with contextlib.redirect_stdout(io.StringIO()):
        scenes([*drawn, "workers=1", f"run_dir={folder}/scenes"])
        given = [f"annotations={folder}/scenes/annotations.jsonl", f"images={folder}/scenes/images"]
        cut([*given, f"run_dir={folder}/crops"])
    crop_set = read_crop_set(folder / "crops")
    crops = [read_image(crop_set.path(crop)) for crop in crop_set.crops]
    return [crop for crop in crops if min(crop.shape[:2]) > PAD][:CROPS]


def differences(ways: Mapping[str, Way]) -> dict[str, NDArray[np.int64]]:
    """Each way's distance from our float32 in grey levels, value by value."""
    made = {name: way() for name, way in ways.items() if name not in LIMITS.values()}
    return {
        name: np.concatenate([np.abs(a.astype(int) - b).ravel() for a, b in zip(images, made[FLOAT], strict=True)])
        for name, images in made.items()
    }


def measure(ways: Mapping[str, Way], rounds: int) -> Times:
    """Every way once for warmth, then all of them in turn, `rounds` times."""
    for way in ways.values():
        way()
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            way()
            spent[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return spent


def ratio(spent: Times, name: str, other: str) -> float:
    """The median over rounds of one way's processor time over another's in the same round."""
    return statistics.median(a[1] / b[1] for a, b in zip(spent[name], spent[other], strict=True))


def report(spent: Times, off: Mapping[str, NDArray[np.int64]], file: Path | None) -> bool:
    """Print a line a way and the ratios; whether the goals are met."""
    for name, times in spent.items():
        factor = CONVOLUTIONS if name in LIMITS.values() else 1
        wall, processor = (1000 * factor / CROPS * statistics.median(t[i] for t in times) for i in (0, 1))
        levels = f", {off[name].mean():.3f} grey levels off, at most {off[name].max()}" if name in off else ""
        print(f"{name:<20} {wall:6.2f} ms a crop, {processor:6.2f} ms of processor{levels}")
    less, over = ratio(spent, WHOLE, FAST), ratio(spent, FAST, LIMITS[FAST]) / CONVOLUTIONS
    goals = {
        f"int8 / bfloat16 {less:.3f} (at most {LESS})": less <= LESS,
        f"int8 {off[WHOLE].mean():.2f} grey levels off on average (at most {MEAN_LEVELS})": off[WHOLE].mean()
        <= MEAN_LEVELS,
        f"bfloat16 / its limit {over:.3f} (at most {OVER_LIMIT})": over <= OVER_LIMIT,
    }
    print(f"stock / bfloat16 {ratio(spent, STOCK, FAST):.2f}, stock / int8 {ratio(spent, STOCK, WHOLE):.2f}")
    record(file, "enlarging", {
        "int8_over_bfloat16": less, "bfloat16_over_limit": over, "stock_over_bfloat16": ratio(spent, STOCK, FAST),
        "stock_over_int8": ratio(spent, STOCK, WHOLE),
        "levels_off": {name: float(off[name].mean()) for name in (FAST, WHOLE)},
    })  # fmt: skip
    for goal, met in goals.items():
        print(f"{'met' if met else 'MISSED'}: {goal}")
    return all(goals.values())


if __name__ == "__main__":
    main()
