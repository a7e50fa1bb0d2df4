"""Converting what other tools write: PyTorch files, Trainer's and FSDP's checkpoints; casting, safety."""

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from conversions import convert, logits, reopened
from safetensors import safe_open
from safetensors.torch import load_file, save_file, save_model

from siglip.convert.keys import clean_keys


def with_weights(checkpoint, tmp_path, name="source"):
    """A copy of the checkpoint's folder without its weights."""
    folder = tmp_path / name
    shutil.copytree(checkpoint, folder)
    (folder / "model.safetensors").unlink()
    return folder


def test_a_checkpoint_of_transformers_own_trainer_under_compile(checkpoint, make_crops, tmp_path):
    from transformers import AutoModel, Trainer, TrainingArguments

    model = AutoModel.from_pretrained(checkpoint)
    rows = [{"input_ids": torch.full((64,), i), "pixel_values": torch.randn(3, 16, 16)} for i in range(4)]
    arguments = TrainingArguments(
        str(tmp_path / "trainer"), per_device_train_batch_size=4, max_steps=2, save_steps=2, use_cpu=True,
        torch_compile=True, torch_compile_backend="aot_eager", report_to=[], disable_tqdm=True, learning_rate=1e-2,
    )  # fmt: skip

    def collate(batch):
        return {**{k: torch.stack([r[k] for r in batch]) for k in batch[0]}, "return_loss": True}

    trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate)
    trainer.train()
    source = tmp_path / "trainer/checkpoint-2"
    wrapped = torch.compile(trainer.model, backend="aot_eager")
    assert any(name.startswith("_orig_mod.") for name in wrapped.state_dict())
    for name, tensors in (("as saved", None), ("leaked", wrapped.state_dict())):
        if tensors is not None:  # what Trainer versions that do not unwrap write
            save_file({k: v.contiguous() for k, v in tensors.items()}, source / "model.safetensors", {"format": "pt"})
        assert convert(f"source={source}", f"out='{name}'")["verified"] == "true"
        assert torch.equal(logits(reopened(tmp_path / name)), logits(trainer.model.eval()))
        assert not [p.name for p in (tmp_path / name).iterdir() if p.suffix in {".pt", ".bin", ".pth"}]


def test_a_sharded_compiled_checkpoint_of_two_processes(checkpoint, tmp_path, capfd, refused):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    source = with_weights(checkpoint, tmp_path)
    script = str(Path(__file__).parent / "sharded_checkpoint.py")
    words = ["2", port, str(checkpoint), str(source / "pytorch_model_fsdp_0")]
    processes = [subprocess.Popen([sys.executable, script, str(rank), *words]) for rank in range(2)]
    assert [p.wait(timeout=240) for p in processes] == [0, 0], capfd.readouterr().err
    assert len(list((source / "pytorch_model_fsdp_0").glob("*.distcp"))) == 2
    metrics = convert(f"source={source}", "out=clean")
    assert metrics["verified"] == "true"
    assert metrics["num_renamed"] == metrics["num_tensors"]
    made = reopened(tmp_path / "clean")
    stored = torch.load(source / "pytorch_model_fsdp_0.expected.pt", weights_only=True)
    expected = {new: stored[old] for old, new in clean_keys(stored, "x").items()}
    assert all(torch.equal(tensor, expected[name]) for name, tensor in made.state_dict().items())
    assert not torch.equal(logits(made), logits(reopened(checkpoint)))  # the step was taken
    convert(f"source={source / 'pytorch_model_fsdp_0'}", "out=bare")  # no config: converted, not verified
    assert "not verified" in capfd.readouterr().out
    assert load_file(tmp_path / "bare/model.safetensors").keys() == made.state_dict().keys()
    for shard in sorted((source / "pytorch_model_fsdp_0").glob("*.distcp")):
        good = shard.read_bytes()
        changed = bytearray(good)
        changed[len(good) // 8] ^= 1
        for bad in (good[: len(good) // 8], bytes(changed)):
            shard.write_bytes(bad)
            assert f"{shard.name}: damaged" in refused(convert, f"source={source}", "out=again")
        shard.write_bytes(good)


def test_shards_of_other_sizes_than_described_are_one_line(tmp_path, refused):
    """torch reports this by an exception that is no Exception."""
    dcp.save({"model": {"a": torch.ones(4)}}, checkpoint_id=tmp_path / "shards", no_dist=True)
    path = tmp_path / "shards/.metadata"
    described = pickle.loads(path.read_bytes())
    described.state_dict_metadata["model.a"].size = torch.Size([5])
    described.state_dict_metadata["model.a"].chunks[0].sizes = torch.Size([5])
    path.write_bytes(pickle.dumps(described))
    assert "shards: damaged: AssertionError" in refused(convert, "source=shards", "out=made.safetensors")


@pytest.mark.parametrize("container", [None, "state_dict", "model"])
def test_a_bin_folder(container, checkpoint, tmp_path):
    source, model = with_weights(checkpoint, tmp_path), reopened(checkpoint)
    tensors = {f"module._orig_mod.{k}": v for k, v in model.state_dict().items()}
    torch.save({container: tensors, "epoch": 3} if container else tensors, source / "pytorch_model.bin")
    assert convert(f"source={source}", "out=clean")["num_renamed"] == len(tensors)
    assert torch.equal(logits(reopened(tmp_path / "clean")), logits(model))


def test_bin_shards_with_an_index(checkpoint, tmp_path, refused):
    source, model = with_weights(checkpoint, tmp_path), reopened(checkpoint)
    tensors = [(f"_orig_mod.{k}", v) for k, v in model.state_dict().items()]
    half = len(tensors) // 2
    places = {}
    for name, part in (("a.bin", tensors[:half]), ("b.bin", tensors[half:])):
        torch.save(dict(part), source / name)
        places |= {k: name for k, _ in part}
    index = source / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    convert(f"source={source}", "out=clean")
    assert torch.equal(logits(reopened(tmp_path / "clean")), logits(model))
    index.write_text(json.dumps({"weight_map": {"a": "../a.bin"}}))
    assert "leads out of the folder" in refused(convert, f"source={source}", "out=clean2")


def test_tied_tensors_stay_tied(tmp_path, capfd):
    from transformers import AutoModelForMaskedLM, BertConfig

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = AutoModelForMaskedLM.from_config(BertConfig(vocab_size=8, **sizes))
    model.save_pretrained("source")
    Path("source/model.safetensors").unlink()
    tensors = {f"_orig_mod.{k}": v for k, v in model.state_dict().items()}
    torch.save(tensors, "source/pytorch_model.bin")
    metrics = convert("source=source", "out=clean")
    assert metrics["num_tensors"] < len(tensors)
    again, told = AutoModelForMaskedLM.from_pretrained("clean", output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert again.get_output_embeddings().weight is again.get_input_embeddings().weight
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in again.state_dict().items())
    save_model(torch.compile(model, backend="aot_eager"), "tied.safetensors", {"format": "pt"})
    convert("source=tied.safetensors", "out=clean.safetensors")
    convert("source=tied.safetensors", "out=cast.safetensors", "cast=bf16")
    for name in ("clean", "cast"):
        with safe_open(f"{name}.safetensors", "pt") as stream:
            left_out = {k: v for k, v in stream.metadata().items() if k != "format"}
            assert left_out
            assert set(left_out.values()) <= set(stream.keys())
            assert set(left_out) | set(stream.keys()) == set(model.state_dict())


def test_what_a_pickle_would_run_is_never_run(tmp_path, checkpoint, refused):
    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/ran",))

    torch.save({"a": Evil()}, "evil.bin")
    said = refused(convert, "source=evil.bin", "out=x")
    assert "evil.bin: not a checkpoint that can be loaded safely" in said
    assert "it names posix.system, which is no part of a checkpoint; nothing of it was run" in said
    import pickle

    Path("shards").mkdir()
    Path("shards/.metadata").write_bytes(pickle.dumps(Evil()))
    error = refused(convert, "source=shards", "out=x")
    assert "posix.system, which describes no tensor" in error
    assert not (tmp_path / "ran").exists()


def test_whatever_torch_wrote_is_opened_and_what_is_left_closed_is_told(capfd, refused):
    """Foreign objects beside the weights, whole pickled networks, TorchScript, and names of somebody's own."""
    import argparse

    from omegaconf import OmegaConf

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).half()
    net.register_buffer("passing", torch.ones(2), persistent=False)
    net[0].bias = torch.nn.Parameter(torch.arange(4, dtype=torch.bfloat16))
    net.tied = net[0]
    weights = net.state_dict()
    settings = OmegaConf.create({"lr": 0.1, "files": ["a"]})
    files = {
        "lightning.ckpt": {"state_dict": weights, "hyper_parameters": {"args": argparse.Namespace(a=1), "c": settings}},
        "config.pt": {"model": settings, "net": weights, "epoch": 3, "when": np.float64(1.5)},
        "whole.pt": net,
        "kept.pth": {"epoch": 2, "model": net, "optimizer": torch.optim.Adam(net.parameters())},
        "items.pt": {"model_state_dict": Items(weights), "epoch": 1},
    }
    for name, value in files.items():
        torch.save(value, name)
        capfd.readouterr()
        convert(f"source={name}", f"out={name}.safetensors")
        told, written = capfd.readouterr().out, load_file(f"{name}.safetensors")
        assert ("not sure: objects of argparse, omegaconf" in told) is (name == "lightning.ckpt")
        assert ("omegaconf" in told) is (name in {"lightning.ckpt", "config.pt"})
        assert ("'net' alone holds tensors" in told) is (name == "config.pt")
        stored = dict(written) | {f"tied.{part}": written[f"0.{part}"] for part in ("weight", "bias")}
        assert stored.keys() == weights.keys()
        assert all(torch.equal(stored[key], tensor) and stored[key].dtype is tensor.dtype
                   for key, tensor in weights.items())  # fmt: skip
    torch.jit.script(torch.nn.Linear(3, 4)).save("script.pt")
    convert("source=script.pt", "out=script.safetensors")
    script = torch.jit.load("script.pt").state_dict()
    assert all(torch.equal(load_file("script.safetensors")[key], tensor) for key, tensor in script.items())
    torch.save({"student": weights, "teacher": weights}, "two.pt")
    assert "field 'student': holds tensors, and so does 'teacher'" in refused(convert, "source=two.pt", "out=x")


class Items(dict):
    """A dictionary of somebody's own, as many trainers keep their weights in."""


def test_an_entry_marked_as_a_folder_is_damage(tmp_path, refused):
    """torch would give its tensor as it finds the memory; the entry's checksum is right all the same."""
    torch.save({"a": torch.ones(15)}, "good.bin")
    data = bytearray(Path("good.bin").read_bytes())
    entry = data.rindex(b"good/data/0") - 46  # its part of the zip directory, whose name follows 46 bytes
    data[entry + 38] = 0x30
    Path("bad.bin").write_bytes(data)
    assert "damaged: the checksum or description of good/data/0 differs" in refused(convert, "source=bad.bin", "out=x")
    convert("source=good.bin", "out=x")


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_casting(suffix, refused):
    torch.manual_seed(0)
    data = {"_orig_mod.a": torch.randn(300, 70), "_orig_mod.b": torch.randn(3).double(), "_orig_mod.n": torch.arange(4)}
    if suffix == "bin":
        torch.save(data, "in.bin")
    else:
        save_file(data, "in.safetensors", {"format": "pt"})
    convert(f"source=in.{suffix}", "out=out.safetensors", "cast=bf16")
    made = load_file("out.safetensors")
    assert torch.equal(made["a"], data["_orig_mod.a"].bfloat16())
    assert torch.equal(made["b"], data["_orig_mod.b"].bfloat16())
    assert torch.equal(made["n"], data["_orig_mod.n"])
    save_file({"big": torch.tensor([1e30])}, "big.safetensors")
    assert "tensor 'big': a value is too large for F16" in refused(
        convert, "source=big.safetensors", "out=y", "cast=fp16"
    )
    assert not Path("y").exists()


def test_a_cast_folder_is_opened_in_the_new_type(checkpoint, tmp_path):
    convert(f"source={checkpoint}", "out=half", "cast=bf16")
    assert reopened(tmp_path / "half").dtype is torch.bfloat16


def test_a_shape_that_the_model_does_not_have_is_refused(checkpoint, refused):
    path = checkpoint / "model.safetensors"
    weights = load_file(path)
    weights["logit_bias"] = torch.zeros(2)
    save_file(weights, path, {"format": "pt"})
    assert "tensor 'logit_bias': shape [2], the model's is [1]" in refused(convert, f"source={checkpoint}", "out=x")
    assert convert(f"source={checkpoint}", "out=x", "verify=none")["verified"] == "false"


def test_misuse_is_one_line(checkpoint, tmp_path, refused):
    (tmp_path / "empty").mkdir()
    save_file({"_orig_mod.a": torch.ones(1)}, "one.safetensors")
    (tmp_path / "link.safetensors").symlink_to("one.safetensors")
    save_file({"_orig_mod.a": torch.ones(1), "a": torch.ones(1)}, "both.safetensors")
    torch.save({"a": torch.ones(2), "b": 3}, "mixed.pt")
    for words, told in (
        ((f"source={checkpoint}",), "give either out=PATH or in_place=true"),
        ((f"source={checkpoint}", "out=x", "in_place=true"), "give either out=PATH or in_place=true"),
        ((f"source={checkpoint}", "in_place=true", "cast=bf16"), "cast: changes the data"),
        ((f"source={checkpoint}", "out=x", "cast=bf17"), "the nearest is 'bf16'"),
        ((f"source={checkpoint}", f"out={checkpoint}"), "is the source folder"),
        ((f"source={checkpoint / 'model.safetensors'}", f"out={tmp_path / 'empty'}"), "is a folder, the source a file"),
        (("source=nowhere", "out=x"), "nowhere: no such file or folder"),
        (("source=empty", "out=x"), "holds none of model.safetensors"),
        (("source=link.safetensors", "in_place=true"), "is a link"),
        (("source=both.safetensors", "out=x"), "would both become 'a'"),
        (("source=mixed.pt", "out=x"), "field 'b': not a tensor"),
        (("source=mixed.pt", "in_place=true"), "field 'b': not a tensor"),
    ):
        assert told in refused(convert, *words), words
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("holder", "nest"),
    [
        ("", ("state_dict",)),
        ("model.", ("model_state_dict",)),
        ("net.", ("model", "state_dict")),
        ("module.model.", ()),
    ],
)
def test_what_other_frameworks_wrap_around_a_model_goes(holder, nest, checkpoint, tmp_path, capfd):
    tensors = load_file(checkpoint / "model.safetensors")
    value = {holder + name: tensor for name, tensor in tensors.items()}
    for name in reversed(nest):
        value = {name: value, "epoch": 3}
    torch.save(value, tmp_path / "lightning.ckpt")
    convert(f"source={tmp_path}/lightning.ckpt", "out=clean.safetensors")
    assert load_file("clean.safetensors").keys() == tensors.keys()
    assert ("not sure: every name began with" in capfd.readouterr().out) == bool(holder)
