"""Our enlargement against Real-ESRGAN's published algorithm, re-derived here step by step."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.errors import InputError
from upscale.build import build_upscaler
from upscale.padding import Pad, pad_of
from upscale.settings import UpscaleMethod, UpscalerConfig


def published_enhance(network, scale, crop, pre_pad):
    """RealESRGANer.enhance without tiles: pre-pad, pad to the network's multiple, enlarge, take both off again.

    It takes RGB here and gives the network RGB, which is what its BGR input and its conversion come to.
    """
    image = torch.from_numpy(np.transpose(crop.astype(np.float32) / 255, (2, 0, 1)))[None]
    if pre_pad != 0:
        image = F.pad(image, (0, pre_pad, 0, pre_pad), "reflect")
    mod_h = mod_w = 0
    if scale == 2:
        height, width = image.shape[2:]
        mod_h, mod_w = (2 - height % 2) % 2, (2 - width % 2) % 2
        image = F.pad(image, (0, mod_w, 0, mod_h), "reflect")
    with torch.no_grad():
        output = network(image)
    _, _, height, width = output.shape
    output = output[:, :, : height - mod_h * scale, : width - mod_w * scale]
    _, _, height, width = output.shape
    output = output[:, :, : height - pre_pad * scale, : width - pre_pad * scale]
    output = output[0].float().clamp(0, 1).numpy()
    return (np.transpose(output, (1, 2, 0)) * 255.0).round().astype(np.uint8)


def published_rule(height, width):
    if height > 10 and width > 10:
        return 10
    if height > 1 and width > 1:
        return 1
    return None


@pytest.mark.faults
@pytest.mark.parametrize(("name", "scale"), [("compact", 4), ("rrdb2", 2), ("rrdb4", 4)])
def test_every_size_from_1x1_to_40x40_equals_the_published_way(name, scale, request, count):
    """In short the larger two networks get every eleventh size."""
    path, network = request.getfixturevalue(name)
    upscaler = build_upscaler(UpscalerConfig(weights=str(path), pad=Pad.published))
    assert upscaler.scale == scale
    rng = np.random.default_rng(0)
    step = 1 if name == "compact" else count(short=11, full=1)
    sizes = [(h, w) for h in range(1, 41) for w in range(1, 41) if (h * 40 + w) % step == 0]
    for height, width in sizes:
        crop = rng.integers(0, 256, (height, width, 3), np.uint8)
        made = upscaler.upscale([crop])[0]
        rule = published_rule(height, width)
        expected = crop if rule is None else published_enhance(network, scale, crop, rule)
        assert np.array_equal(made, expected), (height, width)


@pytest.mark.parametrize(
    ("rule", "sizes"),
    [
        (Pad.none, {(1, 1): 0, (5, 5): 0, (50, 50): 0}),
        (Pad.one, {(1, 9): 0, (2, 2): 1, (50, 50): 1}),
        (Pad.ten, {(1, 1): 0, (10, 50): 0, (11, 11): 10}),
        (Pad.published, {(1, 50): None, (2, 2): 1, (10, 50): 1, (11, 11): 10}),
        (Pad.older, {(1, 1): None, (10, 50): None, (11, 11): 10}),
    ],
)
def test_pad_rules(rule, sizes):
    assert {size: pad_of(rule, *size) for size in sizes} == sizes


def test_the_published_swap_feeds_the_network_bgr(compact):
    path, network = compact
    crop = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    swapped = build_upscaler(UpscalerConfig(weights=str(path), swap_channels=True))
    expected = published_enhance(network, 4, crop[..., ::-1].copy(), 10)[..., ::-1]
    assert np.array_equal(swapped.upscale([crop])[0], expected)
    assert swapped.policy.endswith("bgr")
    assert swapped.key != build_upscaler(UpscalerConfig(weights=str(path))).key


def test_the_stand_in_is_the_nearest_enlargement(save_standin, tmp_path):
    save_standin(tmp_path / "standin.safetensors", features=8, convolutions=2)
    upscaler = build_upscaler(UpscalerConfig(weights=f"{tmp_path}/standin.safetensors"))
    crop = np.random.default_rng(2).integers(0, 256, (13, 21, 3), np.uint8)
    assert np.array_equal(upscaler.upscale([crop])[0], crop.repeat(4, 0).repeat(4, 1))


def test_interpolation_and_none():
    crop = np.random.default_rng(3).integers(0, 256, (5, 1, 3), np.uint8)
    lanczos = build_upscaler(UpscalerConfig(method=UpscaleMethod.lanczos, scale=4))
    assert lanczos.upscale([crop])[0].shape == (20, 4, 3)
    nearest = build_upscaler(UpscalerConfig(method=UpscaleMethod.nearest, scale=4))
    assert np.array_equal(nearest.upscale([crop])[0], crop.repeat(4, 0).repeat(4, 1))
    assert len({nearest.key, lanczos.key}) == 2
    assert (nearest.policy, lanczos.policy) == ("nearest x4", "lanczos x4")
    assert build_upscaler(UpscalerConfig(method=UpscaleMethod.none)).upscale([crop])[0] is crop


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x04cos\nsystem\n(S'touch owned'\ntR."])
def test_broken_and_hostile_weights_are_one_line(content, tmp_path):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"w\.pth: cannot be loaded as a super-resolution network"):
        build_upscaler(UpscalerConfig(weights=str(tmp_path / "w.pth")))
    assert not (tmp_path / "owned").exists()


def test_missing_weights_say_what_to_fetch():
    with pytest.raises(InputError, match=r"weights/x\.pth: no such file; fetch x\.pth from its releases"):
        build_upscaler(UpscalerConfig(weights="weights/x.pth", url="x.pth from its releases"))


def test_a_crop_larger_than_the_limit_stays_as_it_is(compact):
    """A wrong box may be the whole image; enlarging it would take gigabytes and tell the scorer nothing more."""
    crop = np.zeros((30, 40, 3), np.uint8)
    for method in (UpscaleMethod.network, UpscaleMethod.lanczos):
        config = UpscalerConfig(method=method, weights=str(compact[0]), largest_pixels=1200)
        assert build_upscaler(config).upscale([crop])[0].shape == (120, 160, 3)
        config.largest_pixels = 1199
        assert build_upscaler(config).upscale([crop])[0] is crop


def test_another_file_name_is_the_same_policy_and_other_weights_are_not(compact, rrdb2, tmp_path):
    path, _ = compact
    (tmp_path / "renamed.safetensors").write_bytes(path.read_bytes())
    policies = [build_upscaler(UpscalerConfig(weights=str(p))).policy for p in (path, tmp_path / "renamed.safetensors")]
    assert policies[0] == policies[1] != build_upscaler(UpscalerConfig(weights=str(rrdb2[0]))).policy


@pytest.mark.parametrize("name", ["scale", "batch_pixels", "largest_pixels"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(InputError, match=f"upscaler.{name}: 0 is not at least 1"):
        build_upscaler(UpscalerConfig(method=UpscaleMethod.none, **{name: 0}))
