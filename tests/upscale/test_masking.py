"""Crops of mixed sizes on one canvas against one by one, and the number types inside the network."""

import threading

import numpy as np
import pytest
import torch

from core.errors import InputError
from upscale.build import build_upscaler
from upscale.masking import MaskedCanvas, batches
from upscale.padding import Pad
from upscale.settings import Batching, Precision, UpscalerConfig
from upscale.weights import Network


def crops_of_mixed_sizes(number=24):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*rng.integers(1, 60, 2), 3), np.uint8) for _ in range(number)]


@pytest.mark.parametrize("name", ["compact", "rrdb2", "rrdb4"])
def test_a_canvas_of_mixed_sizes_gives_what_one_by_one_gives(name, request):
    path, _ = request.getfixturevalue(name)
    torch.manual_seed(1)
    network = Network(UpscalerConfig(weights=str(path)), "cpu")
    images = [torch.rand(3, 2 * h, 2 * w) for h, w in ((1, 1), (9, 4), (4, 9), (17, 20), (20, 3))]
    with torch.inference_mode():
        alone = [network(image[None])[0] for image in images]
        together = MaskedCanvas(network.module).run(network, images)
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["compact", "rrdb2", "rrdb4"])
def test_batched_crops_equal_single_ones(name, request):
    path, _ = request.getfixturevalue(name)
    crops = crops_of_mixed_sizes()
    single, masked = (
        build_upscaler(UpscalerConfig(weights=str(path), batching=way, batch_pixels=9000))
        for way in (Batching.single, Batching.masked)
    )
    assert (single.batched, masked.batched, single.key) == (False, True, masked.key)
    for one, other in zip(single.upscale(crops), masked.upscale(crops), strict=True):
        assert one.shape == other.shape
        assert (
            np.abs(one.astype(int) - other).max() <= 1
        )  # a value on the border of two grey levels may fall either way


def test_without_masks_the_padding_leaks(compact):
    """What the masks are for: the same canvas without them is wrong by grey levels."""
    network = Network(UpscalerConfig(weights=str(compact[0])), "cpu")
    image = torch.rand(3, 8, 8)
    canvas = torch.zeros(1, 3, 16, 16)
    canvas[0, :, :8, :8] = image
    with torch.inference_mode():
        assert (network(canvas)[0, :, :32, :32] - network(image[None])[0]).abs().max() > 1 / 255


def test_threads_may_share_one_upscaler(compact):
    upscaler = build_upscaler(UpscalerConfig(weights=str(compact[0]), batching=Batching.masked))
    crops, made = crops_of_mixed_sizes(), {}
    expected = upscaler.upscale(crops)
    threads = [
        threading.Thread(target=lambda n=n: made.update({n: upscaler.upscale(crops[n:])})) for n in range(0, 24, 6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, images in made.items():
        for one, other in zip(images, expected[n:], strict=True):
            assert np.abs(one.astype(int) - other).max() <= 1


def test_cores_take_a_crop_each(compact):
    """With several cores the crops go through a pool, and neither results nor the process' own thread count change."""
    crops = crops_of_mixed_sizes()
    threads = torch.get_num_threads()
    expected = build_upscaler(UpscalerConfig(weights=str(compact[0]))).upscale(crops)
    torch.set_num_threads(2)
    try:
        made = build_upscaler(UpscalerConfig(weights=str(compact[0]))).upscale(crops)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert all(np.array_equal(one, other) for one, other in zip(made, expected, strict=True))


@pytest.mark.parametrize("name", ["compact", "rrdb2"])
@pytest.mark.parametrize("batching", [Batching.single, Batching.masked])
def test_bfloat16_is_within_two_grey_levels(name, batching, request):
    path, _ = request.getfixturevalue(name)
    crops = crops_of_mixed_sizes()
    reference = build_upscaler(UpscalerConfig(weights=str(path)))
    fast = build_upscaler(UpscalerConfig(weights=str(path), precision=Precision.bfloat16, batching=batching))
    assert fast.key != reference.key
    assert fast.policy == reference.policy
    for one, other in zip(reference.upscale(crops), fast.upscale(crops), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 2


def test_float16_on_a_cpu_is_refused(compact):
    with pytest.raises(InputError, match=r"upscaler\.precision: float16 needs a GPU"):
        build_upscaler(UpscalerConfig(weights=str(compact[0]), precision=Precision.float16))


def test_batches_hold_every_crop_once_within_the_limit():
    rng = np.random.default_rng(0)
    sizes = [(int(h), int(w)) for h, w in rng.integers(1, 90, (300, 2))]
    made = list(batches(sizes, 20_000))
    assert sorted(place for batch in made for place in batch) == list(range(300))
    areas = [len(b) * max(sizes[p][0] for p in b) * max(sizes[p][1] for p in b) for b in made]
    assert max(areas) <= 20_000
    assert len(made) < 150
    assert list(batches([(500, 500)], 10)) == [[0]]
    assert list(batches([], 10)) == []


def test_another_family_that_spandrel_reads_goes_one_by_one(tmp_path):
    """SAFMN pools over the whole crop and wants sides in multiples of 8, so no canvas can be shared."""
    from safetensors.torch import save_file
    from spandrel import ModelLoader
    from spandrel.architectures.SAFMN.__arch.safmn import SAFMN

    torch.manual_seed(0)
    save_file(SAFMN(dim=8, n_blocks=1, upscaling_factor=2).state_dict(), tmp_path / "safmn.safetensors")
    weights = str(tmp_path / "safmn.safetensors")
    upscaler = build_upscaler(UpscalerConfig(weights=weights, batching=Batching.masked, pad=Pad.none))
    assert not upscaler.batched
    descriptor = ModelLoader().load_from_file(weights)
    crops = [np.random.default_rng(3).integers(0, 256, (h, w, 3), np.uint8) for h, w in ((20, 13), (1, 1), (3, 30))]
    for crop, made in zip(crops, upscaler.upscale(crops), strict=True):
        with torch.inference_mode():
            expected = descriptor(torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255)[0].clamp(0, 1)
        assert np.array_equal(made, (expected * 255).round().byte().permute(1, 2, 0).numpy())
    with pytest.raises(InputError, match=r"\(SAFMN\) does not run in float16"):
        build_upscaler(UpscalerConfig(weights=weights, precision=Precision.float16), "cuda")
