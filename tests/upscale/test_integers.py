"""The 8-bit network against the same rounding written out in double precision, and where it is refused."""

import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.errors import InputError
from upscale.build import build_upscaler
from upscale.integers import IntegerCompact
from upscale.settings import Batching, Precision, UpscalerConfig


def rounded_by_definition(network, image_1CHW):
    """Fake quantisation: every value replaced by the nearest that 8 bits can hold, all arithmetic in float64."""
    layers = list(network.body)
    made = F.conv2d(image_1CHW.double(), layers[0].weight.double(), layers[0].bias.double(), padding=1)
    for activation, convolution in zip(layers[1::2], layers[2::2], strict=True):
        made = F.prelu(made, activation.weight.double())
        high, low = made.max().clamp_min(0), made.min().clamp_max(0)
        step = (high - low) / 255
        zero = (-low / step).round()
        made = ((made / step + zero).round().clamp(0, 255) - zero) * step
        scales = convolution.weight.double().abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12) / 127
        weight = (convolution.weight.double() / scales).round() * scales
        made = F.conv2d(made, weight, convolution.bias.double(), padding=1)
    return F.pixel_shuffle(made, 4) + F.interpolate(image_1CHW.double(), scale_factor=4, mode="nearest")


@pytest.fixture
def upscaler(compact):
    return build_upscaler(UpscalerConfig(weights=str(compact[0]), precision=Precision.int8, batching=Batching.masked))


def test_it_is_the_rounding_by_definition(compact):
    _, network = compact
    with torch.no_grad():
        network.body[1].weight.copy_(torch.linspace(-0.5, 1.5, 8))  # slopes of every kind
        network.body[2].weight[3] = 0  # a filter of zeros
    made_by = IntegerCompact(network, 4)
    torch.manual_seed(2)
    with torch.inference_mode():
        for size in ((1, 1), (2, 9), (31, 17)):
            image = torch.rand(1, 3, *size)
            expected, made = rounded_by_definition(network, image), made_by(image)
            off = (made - expected).abs()
            # A value halfway between two steps may fall either way, and then moves what is around it by a step.
            assert off.quantile(0.9) < 1e-5
            assert off.max() < 0.02
            assert (made - network(image)).abs().mean() < 0.01


def test_an_image_of_zeros_is_no_division_by_zero(compact):
    _, network = compact
    with torch.inference_mode():
        for layer in network.body:
            if isinstance(layer, torch.nn.Conv2d):
                layer.bias.zero_()
        assert torch.equal(IntegerCompact(network, 4)(torch.zeros(1, 3, 5, 4)), torch.zeros(1, 3, 20, 16))


def test_crops_depend_neither_on_each_other_nor_on_threads(upscaler, compact):
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 256, (*rng.integers(2, 40, 2), 3), np.uint8) for _ in range(12)]
    assert not upscaler.batched  # asked for, but the steps follow from one crop
    together, alone = upscaler.upscale(crops), [upscaler.upscale([crop])[0] for crop in crops]
    assert all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True))
    made = {}
    threads = [threading.Thread(target=lambda n=n: made.update({n: upscaler.upscale(crops)})) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(one, other) for n in made for one, other in zip(made[n], alone, strict=True))
    reference = build_upscaler(UpscalerConfig(weights=str(compact[0])))
    assert (upscaler.policy, upscaler.scale) == (reference.policy, reference.scale)
    assert upscaler.key != reference.key
    off = [np.abs(a.astype(int) - b).mean() for a, b in zip(together, reference.upscale(crops), strict=True)]
    assert max(off) < 1


def test_other_networks_and_gpus_are_refused(compact, rrdb4):
    for weights, device in ((rrdb4[0], "cpu"), (compact[0], "cuda")):
        with pytest.raises(InputError, match=r"upscaler\.precision: int8 is made for SRVGGNetCompact on a CPU"):
            build_upscaler(UpscalerConfig(weights=str(weights), precision=Precision.int8), device)
