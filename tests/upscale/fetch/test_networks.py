"""The two trained networks: against ncnn's own images, against their graph run line by line, alone and together."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from make_golden import GOLDEN, SIZES, drawn_crop

from core.images import read_image
from upscale.build import build_upscaler
from upscale.fetch import main
from upscale.fetch.ncnn import read_layers, read_weights
from upscale.fetch.package import model_files
from upscale.fetch.settings import Trained
from upscale.padding import Pad
from upscale.settings import Batching, Precision, UpscalerConfig

BOTH = pytest.mark.parametrize("name", list(Trained), ids=lambda name: name.name)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """`weights(name)`: the converted network, made once."""
    folder = tmp_path_factory.mktemp("weights")

    @functools.cache
    def of(name: Trained) -> Path:
        out = folder / f"{name.name}.safetensors"
        main([f"name={name.name}", f"out={out}", f"run_dir={folder}/{name.name}"])
        return out

    return of


def upscaler_of(path, **settings):
    return build_upscaler(UpscalerConfig(weights=str(path), **settings))


def assert_close(made, expected, most, mean):
    """In grey levels; a failure prints how many values are how far off."""
    assert made.shape == expected.shape
    off = np.abs(made.astype(int) - expected.astype(int))
    counts = np.bincount(off.ravel())
    histogram = "\n".join(f"  {level:3d} grey levels off: {count}" for level, count in enumerate(counts) if count)
    assert off.max() <= most and off.mean() <= mean, f"at most {most}, {mean} on average allowed:\n{histogram}"  # noqa: PT018


def by_its_graph(name: Trained, image_NCHW: torch.Tensor) -> torch.Tensor:
    """The network as its `.param` describes it, layer by layer, with no name of ours."""
    files = model_files(name)
    layers = read_layers(files.param, "param")
    learned = {found.layer.name: found for found in read_weights(layers, files.bin, "bin")}
    blobs = {"data": image_NCHW}
    for layer in layers:
        given = [blobs[blob] for blob in layer.inputs]
        if layer.kind == "Convolution":
            own = learned[layer.name]
            made = F.conv2d(given[0], torch.from_numpy(own.weight), torch.from_numpy(own.bias), padding=layer.whole(4))
            if layer.whole(9) == 2:  # leaky ReLU, its slope behind the array's count
                made = F.leaky_relu(made, float(layer.settings[-23310].split(",")[1]))
        elif layer.kind == "PReLU":
            made = F.prelu(given[0], torch.from_numpy(learned[layer.name].weight))
        elif layer.kind == "Concat":
            made = torch.cat(given, 1)
        elif layer.kind == "Eltwise":
            count, *factors = layer.settings[-23301].split(",")
            assert (layer.whole(0), int(count)) == (1, len(given))
            made = sum(float(factor) * one for factor, one in zip(factors, given, strict=True))
        elif layer.kind == "BinaryOp":
            assert layer.whole(0) == 0
            made = given[0] + given[1]
        elif layer.kind == "PixelShuffle":
            made = F.pixel_shuffle(given[0], layer.whole(0))
        elif layer.kind == "Interp":
            assert layer.whole(0) == 1
            made = F.interpolate(given[0], scale_factor=float(layer.settings[1]), mode="nearest")
        else:
            assert layer.kind in {"Input", "Split"}
            made = given[0] if given else image_NCHW
        blobs |= dict.fromkeys(layer.outputs, made)
    return blobs["output"]


@BOTH
def test_golden_image_of_ncnn_itself(name, weights):
    """`make_golden.py` beside this file is the golden images' recipe; one that is missing is a failure."""
    crop, golden = drawn_crop(*SIZES[name]), read_image(GOLDEN / f"{name.name}.png")
    assert_close(upscaler_of(weights(name), pad=Pad.none).upscale([crop])[0], golden, most=1, mean=0.001)
    fast = upscaler_of(weights(name), pad=Pad.none, precision=Precision.bfloat16)
    assert_close(fast.upscale([crop])[0], golden, most=8, mean=0.4)
    if name is Trained.realesr_animevideov3_x4:
        whole = upscaler_of(weights(name), pad=Pad.none, precision=Precision.int8)
        assert_close(whole.upscale([crop])[0], golden, most=48, mean=2.5)
    blurred = crop.repeat(4, 0).repeat(4, 1)
    with pytest.raises(AssertionError, match=r"\d+ grey levels off: \d+\n"):
        assert_close(blurred, golden, most=8, mean=0.4)


@BOTH
def test_other_crops_equal_the_graph_run_line_by_line(name, weights):
    rng = np.random.default_rng(5)
    upscaler = upscaler_of(weights(name), pad=Pad.none)
    for crop in (rng.integers(0, 256, (9, 14, 3), np.uint8), drawn_crop(16, 11, grain=0)):
        image_NCHW = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            expected = (by_its_graph(name, image_NCHW)[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        assert_close(upscaler.upscale([crop])[0], expected, most=1, mean=0.001)


@BOTH
def test_neither_batch_nor_canvas_changes_a_crop(name, weights):
    rng = np.random.default_rng(1)
    sizes = [(1, 1), (3, 9), (12, 11), (24, 13), (13, 24)][: 5 if name is Trained.realesr_animevideov3_x4 else 4]
    crops = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    single, masked = (upscaler_of(weights(name), batching=way) for way in (Batching.single, Batching.masked))
    together = masked.upscale(crops)
    for crop, shared in zip(crops, together, strict=True):
        alone = single.upscale([crop])[0]
        assert_close(shared, alone, most=1, mean=0.01)
    assert together[0] is crops[0]  # 1x1: the published rule leaves it alone
    padded = np.pad(crops[2], ((0, 10), (0, 10), (0, 0)), "reflect")
    plain = upscaler_of(weights(name), pad=Pad.none).upscale([padded])[0]
    assert_close(together[2], plain[: 4 * 12, : 4 * 11], most=1, mean=0.01)
