"""Cleaning keys: random nestings, exact data, whole folders, damaged files."""

import json
import random
import struct

import numpy as np
import pytest
import torch
from conversions import convert
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from core.errors import InputError
from siglip.convert.header import read_header
from siglip.convert.jobs import convert as convert_file
from siglip.convert.keys import clean_key, clean_keys

ANYWHERE = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"]


def wrapped(key, rng):
    """The key with wrappers between its parts and DDP's `module` at the front, among others."""
    parts = []
    for part in key.split("."):
        parts += rng.choices(ANYWHERE, k=rng.randint(0, 3))
        parts.append(part)
    front = rng.choices([*ANYWHERE, "module"], k=rng.randint(0, 4))
    return ".".join(front + parts)


def test_1000_random_nestings_come_back():
    rng = random.Random(0)
    names = [
        "logit_scale",
        "vision_model.encoder.layers.11.mlp.fc1.weight",
        "text_model.head.bias",
        "blocks.module.weight",
    ]
    for _ in range(1000):
        key = rng.choice(names)
        assert clean_key(wrapped(key, rng)) == key


def test_a_collision_names_both_keys():
    with pytest.raises(InputError, match=r"'_orig_mod\.a' and 'a' would both become 'a'"):
        clean_keys(["_orig_mod.a", "a"], "x.safetensors")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_a_file_keeps_its_data_metadata_and_dtypes(tmp_path, dtype, capsys):
    data = {
        "a.weight": torch.arange(6).reshape(2, 3).to(dtype),
        "b": torch.zeros((), dtype=dtype),
        "c": torch.ones(0, 4),
    }
    save_file({f"_orig_mod.module.{k}": v for k, v in data.items()}, tmp_path / "in.safetensors", {"format": "pt"})
    metrics = convert("source=in.safetensors", "out=out.safetensors")
    assert metrics == {"num_tensors": 3, "num_renamed": 3, "verified": "false", "checksums": "none"}
    assert "not verified" in capsys.readouterr().out
    made = load_file(tmp_path / "out.safetensors")
    assert {k: (v.dtype, v.tolist()) for k, v in made.items()} == {k: (v.dtype, v.tolist()) for k, v in data.items()}
    with safe_open(tmp_path / "out.safetensors", "pt") as stream:
        assert stream.metadata() == {"format": "pt"}
    before, after = (tmp_path / f"{name}.safetensors" for name in ("in", "out"))
    assert before.stat().st_size == after.stat().st_size


def test_a_compiled_checkpoint_opens_again_with_equal_logits(checkpoint, tmp_path):
    from transformers import AutoModel

    model = AutoModel.from_pretrained(checkpoint).eval()
    compiled = torch.compile(model, backend="aot_eager")
    save_file(
        {k: v.contiguous() for k, v in compiled.state_dict().items()},
        checkpoint / "model.safetensors",
        {"format": "pt"},
    )
    assert "_orig_mod." in next(iter(read_header(checkpoint / "model.safetensors").entries))
    metrics = convert(f"source={checkpoint}", "out=clean")
    assert metrics["verified"] == "true"
    again, told = AutoModel.from_pretrained(tmp_path / "clean", output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids, pixels = torch.randint(0, 6, (3, 64)), torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(
            again.eval()(input_ids=ids, pixel_values=pixels).logits_per_image,
            model(input_ids=ids, pixel_values=pixels).logits_per_image,
        )
    assert {p.name for p in (tmp_path / "clean").iterdir()} == {p.name for p in checkpoint.iterdir()}


def test_a_sharded_folder(checkpoint, tmp_path):
    from transformers import AutoModel

    model = AutoModel.from_pretrained(checkpoint)
    model.save_pretrained(checkpoint, max_shard_size="20KB")
    (checkpoint / "model.safetensors").unlink()
    index = json.loads((checkpoint / "model.safetensors.index.json").read_text())
    for name in set(index["weight_map"].values()):
        shard = load_file(checkpoint / name)
        save_file({f"module.{k}": v for k, v in shard.items()}, checkpoint / name, {"format": "pt"})
    index["weight_map"] = {f"module.{k}": v for k, v in index["weight_map"].items()}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    convert(f"source={checkpoint}", "out=clean")
    again, told = AutoModel.from_pretrained(tmp_path / "clean", output_loading_info=True)
    assert not told["missing_keys"]
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


def test_keys_that_the_model_does_not_know_are_refused(checkpoint, refused):
    weights = load_file(checkpoint / "model.safetensors")
    weights["stranger"] = weights.pop("logit_bias")
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})
    error = refused(convert, f"source={checkpoint}", "out=clean")
    assert "1 keys are missing and 1 unexpected (logit_bias, stranger)" in error


def test_a_dry_run_writes_nothing(checkpoint, tmp_path):
    assert convert(f"source={checkpoint}", "out=clean", "dry_run=true")["num_renamed"] == 0
    assert not (tmp_path / "clean").exists()


@pytest.mark.faults
@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_damaged_files_never_crash_and_never_give_wrong_output(suffix, tmp_path, count, capfd):
    """Every damage is refused in one line, or the output is what the reference reader says of the input.

    A PyTorch file's checksums find every changed number. A bare safetensors file has none: a changed number in it is
    a number like any other to every reader (a folder's manifest finds it, see test_convert_formats).
    """
    rng = np.random.default_rng(0)
    tensors = {f"_orig_mod.t{i}": torch.randn(3, 5) for i in range(4)}
    good, bad, out = (tmp_path / name for name in (f"good.{suffix}", f"bad.{suffix}", "out.safetensors"))
    save_file(tensors, good, {"format": "pt"}) if suffix == "safetensors" else torch.save(tensors, good)
    original, refusals = good.read_bytes(), 0
    settings = {"compare": False, "in_place": False, "cast": None, "dry_run": False}
    for _ in range(count(short=150, full=5_000)):
        bad.write_bytes(damage(bytearray(original), rng))
        out.unlink(missing_ok=True)
        try:
            convert_file(bad, out, **settings)
        except InputError as error:
            assert "bad." in str(error)
            assert not out.exists()
            refusals += 1
            continue
        source = load_file(bad) if suffix == "safetensors" else tensors
        names = clean_keys(source, "bad")
        expected = {names[k]: v.numpy().tobytes() for k, v in source.items()}
        assert {k: v.numpy().tobytes() for k, v in load_file(out).items()} == expected
    assert refusals > 0
    assert not list(tmp_path.glob(".*"))


def damage(data, rng):
    kind = rng.integers(5)
    header = min(struct.unpack("<Q", data[:8])[0], len(data) - 8)  # a zip archive's first bytes are no length
    if kind == 0:
        return data[: rng.integers(len(data))]
    if kind == 1:
        return data + bytes(rng.integers(1, 50))
    if kind == 2:
        data[:8] = struct.pack("<Q", int(rng.integers(0, 2**62)))
        return data
    for _ in range(rng.integers(1, 4)):
        place = rng.integers(8, 8 + header) if kind == 3 else rng.integers(len(data))
        data[place] = rng.integers(256)
    return data
