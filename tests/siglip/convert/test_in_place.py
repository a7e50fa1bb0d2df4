"""Converting in place: the header alone, shards and their index, kills in the middle, manifests."""

import json
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conversions import convert, logits, reopened
from safetensors.torch import load_file, save_file

from core.errors import InputError
from core.manifest import verify_manifest, write_manifest
from siglip.convert.header import copy_renamed, finish_rename, read_header, rename_in_place
from siglip.convert.keys import clean_keys


def test_in_place_touches_only_the_header(checkpoint, tmp_path):
    path = checkpoint / "model.safetensors"
    save_file({f"_orig_mod.{k}": v for k, v in load_file(path).items()}, path, {"format": "pt"})
    write_manifest(checkpoint)
    before, stat, length = path.read_bytes(), path.stat(), read_header(path).length
    metrics = convert(f"source={checkpoint}", "in_place=true")
    assert (metrics["verified"], metrics["checksums"]) == ("true", "manifest")
    after = path.read_bytes()
    assert path.stat().st_ino == stat.st_ino
    assert after[8 + length :] == before[8 + length :]
    assert after[:8] == before[:8]
    assert "_orig_mod" not in str(read_header(path).entries)
    verify_manifest(checkpoint)
    reopened(checkpoint)
    assert not list(checkpoint.glob(".*"))


def test_in_place_shards_and_their_index(checkpoint):
    model = reopened(checkpoint)
    model.save_pretrained(checkpoint, max_shard_size="20KB")
    (checkpoint / "model.safetensors").unlink()
    index = json.loads((checkpoint / "model.safetensors.index.json").read_text())
    files = sorted(set(index["weight_map"].values()))
    for name in files:
        shard = load_file(checkpoint / name)
        save_file({f"module.{k}": v for k, v in shard.items()}, checkpoint / name, {"format": "pt"})
    index["weight_map"] = {f"module.{k}": v for k, v in index["weight_map"].items()}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    first = checkpoint / files[0]  # as after a crash between the shards: one is clean already, the index is not
    rename_in_place(first, clean_keys(read_header(first).entries, str(first)))
    convert(f"source={checkpoint}", "in_place=true")
    assert torch.equal(logits(reopened(checkpoint)), logits(model))


KILLED = """
import os, sys, siglip.convert.header as header
from pathlib import Path
from siglip.convert.keys import clean_keys
path, stop = Path("a.safetensors"), sys.argv[1]
names = clean_keys(header.read_header(path).entries, "a")
if stop == "torn":
    def half(descriptor, data, offset):
        real(descriptor, data[: len(data) // 2], offset)
        os.kill(os.getpid(), 9)
    real, os.pwrite = os.pwrite, half
else:
    header.finish_rename = lambda path: os.kill(os.getpid(), 9)
header.rename_in_place(path, names)
"""


@pytest.mark.parametrize("stop", ["before", "torn"])
def test_a_kill_in_the_middle_of_a_header_is_completed_by_the_next_run(stop, tmp_path, refused):
    data = {f"_orig_mod.layer.{i}": torch.full((3,), float(i)) for i in range(20)}
    save_file(data, "a.safetensors", {"format": "pt"})
    killed = subprocess.run([sys.executable, "-c", KILLED, stop], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert "an in-place conversion was interrupted" in refused(convert, "source=a.safetensors", "out=b.safetensors")
    convert("source=a.safetensors", "in_place=true")
    made = load_file("a.safetensors")
    assert {k: v.tolist() for k, v in made.items()} == {
        k.removeprefix("_orig_mod."): v.tolist() for k, v in data.items()
    }
    assert not finish_rename(Path("a.safetensors"))


def test_a_changed_byte_is_found_where_there_is_a_manifest(checkpoint, tmp_path, refused):
    write_manifest(checkpoint)
    convert(f"source={checkpoint}", "out=good")
    verify_manifest(tmp_path / "good")
    path = checkpoint / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    assert "content differs from the manifest" in refused(convert, f"source={checkpoint}", "out=bad")
    assert not (tmp_path / "bad").exists()


def test_a_header_that_grows_is_copied_right_and_refused_in_place(tmp_path):
    raw = '{"é":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'.encode()
    Path("a.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw + b"xy")
    header = read_header(Path("a.safetensors"))
    names = {"é": "é" * 30}  # longer than any clean name can be
    copy_renamed(Path("a.safetensors"), Path("b.safetensors"), names)
    assert load_file("b.safetensors")["é" * 30].tolist() == list(b"xy")
    with pytest.raises(InputError, match="new header is longer"):
        rename_in_place(Path("a.safetensors"), names)
    assert read_header(Path("a.safetensors")) == header
