"""What the tests of resume and damage share: a training's commands, and what it leaves to compare."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[3]


def flat(value, prefix=""):
    if isinstance(value, dict):
        return {k2: v2 for k, v in value.items() for k2, v2 in flat(v, f"{prefix}.{k}").items()}
    if isinstance(value, list | tuple):
        return {k2: v2 for i, v in enumerate(value) for k2, v2 in flat(v, f"{prefix}[{i}]").items()}
    return {prefix: value}


def state(run):
    """Every tensor and number of a run's last state, weights and optimizer."""
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    newest = sorted((Path(run) / "state").glob("step_*"))[-1]
    made = {}
    for part in ("model", "optimizer"):
        dcp_to_torch_save(newest / part, newest.parent / f"{part}.pt")
        made |= flat(torch.load(newest.parent / f"{part}.pt", weights_only=False), part)
    return newest.name, made


def log(run):
    """The run's log but for its clock."""
    lines = (Path(run) / "history.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "samples_per_s"} for line in lines]


def assert_same_ends(run, expected):
    (name, ours), (wanted_name, theirs) = state(run), state(expected)
    assert name == wanted_name
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert torch.equal(ours[key], value) if isinstance(value, torch.Tensor) else ours[key] == value, key
    for folder in ("last", "best"):
        a, b = (load_file(Path(r) / folder / "model.safetensors") for r in (run, expected))
        assert all(torch.equal(a[k], b[k]) for k in b), folder
    assert log(run) == log(expected)


def launch(plan, words, ends=True):
    """Two processes by `accelerate launch`, see stopped.py."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2",
                "--main_process_port=0", Path(__file__).with_name("stopped.py")]  # fmt: skip
    plan = ",".join(f"{run}:{step}" for run, step in plan)
    done = subprocess.run(
        [*map(str, launcher), plan, *words[:-1]], env=environment(), capture_output=True, text=True, timeout=400
    )
    assert (done.returncode == 0) is ends, done.stderr[-3000:]
    return done.stdout


def command(words):
    return [sys.executable, "-m", "siglip.train", *words]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def steps_kept(run):
    return sorted(int(p.name.partition("_")[2]) for p in (run / "state").glob("step_*") if p.suffix != ".partial")


def damage(file, rng):
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(bytes(data))
