"""The recipe of the golden images: ncnn's own runtime over the package's own files.

    pip install ncnn==1.0.20261020        # not a dependency of ours
    python tests/upscale/fetch/make_golden.py

Writes `golden/NAME.png` beside this script. The input is drawn by `drawn_crop`, from whole numbers only, so that it is
the same everywhere; ncnn computes in float32 with every fast path that rounds switched off.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.files import write_bytes
from core.images import encode_image
from upscale.fetch.package import BIN, PARAM, installed
from upscale.fetch.settings import Trained

GOLDEN = Path(__file__).parent / "golden"
SIZES = {Trained.realesr_animevideov3_x4: (37, 52), Trained.realesrgan_x4plus: (22, 29)}  # height, width
ROUNDING = ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "bf16_packed", "int8_inference",
            "winograd_convolution", "sgemm_convolution", "packing_layout")  # fmt: skip


def drawn_crop(height: int, width: int, grain: int = 24) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of an aircraft-like shape on a gradient with stripes, an edge, and hashed grain."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    sky = np.stack([90 + 60 * y // height, 140 + 50 * y // height, 200 + 40 * x // width], axis=-1)
    body = abs(2 * y - height) * 3 + abs(2 * x - width) < width * 3 // 4
    wing = (abs(2 * x - width) < width // 6) & (abs(2 * y - height) < height * 3 // 4)
    sky[body | wing] = (180, 40, 30)
    sky[(x - y) % 11 == 0] += 25
    sky[:, -width // 8 :] = (250, 250, 240)
    mixed = (x * 73_856_093 ^ y * 19_349_663) * 2_654_435_761
    noise = np.stack([(mixed >> shift) % (grain + 1) for shift in (7, 13, 19)], axis=-1) - grain // 2
    return np.clip(sky + noise, 0, 255).astype(np.uint8)


def by_ncnn(name: Trained, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 -> (4 H, 4 W, 3) float32 in grey levels, not rounded and not clamped."""
    import ncnn

    folder = installed()
    assert folder is not None, "the extra `weights` is not installed"
    network = ncnn.Net()
    for option in ROUNDING:
        setattr(network.opt, f"use_{option}", False)
    assert network.load_param(str(folder / PARAM[name].file_name)) == 0
    assert network.load_model(str(folder / BIN[name].file_name)) == 0
    extractor = network.create_extractor()
    image_CHW = np.ascontiguousarray(crop.transpose(2, 0, 1).astype(np.float32) / 255)
    extractor.input("data", ncnn.Mat(image_CHW).clone())
    status, output = extractor.extract("output")
    assert status == 0
    return np.array(output).transpose(1, 2, 0) * 255


def main() -> None:
    """Write both images."""
    for name, (height, width) in SIZES.items():
        made = by_ncnn(name, drawn_crop(height, width)).clip(0, 255).round().astype(np.uint8)
        write_bytes(GOLDEN / f"{name.name}.png", encode_image(made, ".png"))
        print(f"{GOLDEN / name.name}.png: {made.shape}")


if __name__ == "__main__":
    main()
