"""Exact resume of the scorer's training: stopped, killed or damaged anywhere, it ends at the same weights."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import InputError
from siglip import train
from siglip.checkpoint import StateFolder

ROOT = Path(__file__).resolve().parents[2]

# 24 crops, 8 steps an epoch, 40 steps; saves fall within epochs; dropout and augmentation draw random numbers.
SETTINGS = ["batch.size=3", "epochs=5", "lr=3e-3", "weight_decay=0.05", "recipe=demo", "save_every=5", "log_every=1",
            "probe=false", "tracking.mode=disabled"]  # fmt: skip
CACHING = ["batch.micro=1"]


@pytest.fixture
def words(make_crops, architecture_words):
    """`words(run_dir, *more)`: the command line of a training of 40 steps."""
    crops, held_out = make_crops("crops"), make_crops("held_out", images=3, seed=1)
    architecture = [w.replace("num_attention_heads:2", "num_attention_heads:2,attention_dropout:0.1")
                    for w in architecture_words]  # fmt: skip

    def make(run_dir, *more):
        return [f"crops={crops}", f"val_crops={held_out}", *architecture, *SETTINGS, *more, f"run_dir={run_dir}"]

    return make


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


class Killed(BaseException):
    """Stands for a death that nothing in the program can catch or tidy up after."""


@pytest.mark.faults
@pytest.mark.parametrize("more", [[], CACHING], ids=["plain", "cached"])
def test_stopping_at_steps_7_13_29_changes_nothing(words, more, tmp_path, monkeypatch):
    from siglip.steps import Stepper

    train.main(words(tmp_path / "whole", *more))
    original = Stepper.take
    for last in (7, 13, 29):
        taken = []

        def take(self, step, *rest, last=last, taken=taken):
            if len(taken) == last:
                raise Killed
            taken.append(step)
            return original(self, step, *rest)

        monkeypatch.setattr(Stepper, "take", take)
        with pytest.raises(Killed):
            train.main(words(tmp_path / f"run_{last}", *more))
        monkeypatch.setattr(Stepper, "take", original)
        train.main(words(tmp_path / f"run_{last}", *more))
        assert_same_ends(tmp_path / f"run_{last}", tmp_path / "whole")


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


def stop_within_one_launch(words, more, folder):
    whole, run = folder / "whole", folder / "run"
    said = launch([(whole, 0), (run, 13), (run, 0)], words(run, *more))
    assert said.count("died at step 13") == 2
    assert said.count("going on from step 10 ") == 1
    assert_same_ends(run, whole)


def stop_by_signals(words, more, folder):
    whole, run = folder / "whole", folder / "run"
    launch([(whole, 0), (f"{run}_7", 7)], words(run, *more), ends=False)
    launch([(f"{run}_7", 0), (f"{run}_13", 13)], words(run, *more), ends=False)
    launch([(f"{run}_13", 0), (f"{run}_29", 29)], words(run, *more), ends=False)
    assert "going on from step 25 " in launch([(f"{run}_29", 0)], words(run, *more))
    for last in (7, 13, 29):
        assert_same_ends(f"{run}_{last}", whole)


@pytest.mark.faults
def test_two_processes_stopped_at_steps_7_13_29_change_nothing(words, tmp_path, request):
    """In full killed by signal and launched anew, sharded too; in short one stop, with caching, within one launch."""
    if request.config.getoption("--full"):
        for name, more in {"plain": [], "cached": CACHING, "sharded": ["strategy=fsdp"]}.items():
            stop_by_signals(words, more, tmp_path / name)
    else:
        stop_within_one_launch(words, CACHING, tmp_path)


def command(words):
    return [sys.executable, "-m", "siglip.train", *words]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def steps_kept(run):
    return sorted(int(p.name.partition("_")[2]) for p in (run / "state").glob("step_*") if p.suffix != ".partial")


@pytest.mark.faults
def test_a_chain_of_kills_loses_no_complete_state(words, tmp_path, count):
    """kill -9 at random moments, some of them inside a save, one run restarted until it is through."""
    kills, in_save = count(3, 50), count(1, 15)
    long = ["epochs=12", "save_every=2"] if kills > 3 else ["save_every=2"]
    started = time.monotonic()
    whole = subprocess.run(
        command(words(tmp_path / "whole", *long)), env=environment(), capture_output=True, timeout=300
    )
    assert whole.returncode == 0, whole.stderr[-2000:]
    whole_s = time.monotonic() - started
    rng, run = random.Random(), tmp_path / "run"
    done, done_in_save, newest = 0, 0, 0
    while done < kills:
        wait_for_save = (done_in_save < in_save and rng.random() < 0.6) or kills - done <= in_save - done_in_save
        process = subprocess.Popen(command(words(run, *long)), env=environment(), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)  # fmt: skip
        limit = time.monotonic() + (300 if wait_for_save else rng.uniform(0.3, 1.0) * whole_s)
        while process.poll() is None and time.monotonic() < limit:
            if wait_for_save and any((run / "state").glob("*.partial")):
                break
            time.sleep(0.0005)
        hit = any((run / "state").glob("*.partial"))
        process.kill()
        process.wait()
        kept = steps_kept(run)
        assert not newest or (kept and kept[-1] >= newest), f"complete state {newest} was lost: {kept}"
        newest = kept[-1] if kept else 0
        if process.returncode == -signal.SIGKILL:
            done, done_in_save = done + 1, done_in_save + hit
        else:  # it got through before it was killed: on with a new one
            assert process.returncode == 0, process.stderr.read()[-2000:]
            assert_same_ends(run, tmp_path / "whole")
            shutil.rmtree(run)
            newest = 0
    last = subprocess.run(command(words(run, *long)), env=environment(), capture_output=True, text=True, timeout=300)
    assert last.returncode == 0, last.stderr[-2000:]
    assert_same_ends(run, tmp_path / "whole")
    assert done_in_save >= in_save


def damage(file, rng):
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(bytes(data))


def test_a_run_goes_on_from_the_state_before_a_damaged_one(words, tmp_path, capsys):
    train.main(words(tmp_path / "whole"))
    shutil.copytree(tmp_path / "whole", tmp_path / "copy")
    newest = sorted((tmp_path / "copy/state").glob("step_*"))[-1]
    damage(next(p for p in newest.rglob("*.distcp")), random.Random())
    capsys.readouterr()
    train.main(words(tmp_path / "copy"))
    told = capsys.readouterr().out
    assert "passed over a damaged state" in told
    assert "going on from step 35" in told
    assert_same_ends(tmp_path / "copy", tmp_path / "whole")


@pytest.mark.faults
def test_any_changed_byte_is_seen_and_the_state_before_is_taken(tmp_path, capsys, count):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    states, kept = StateFolder(tmp_path / "state"), {}
    for step in (1, 2):
        model(torch.randn(4, 3)).sum().backward()
        optimizer.step()
        states.save(model, optimizer, {"step": step})
        kept[step] = model.weight.detach().clone()
    shutil.copytree(tmp_path / "state", tmp_path / "good")
    files = [p.relative_to(tmp_path / "state") for p in (tmp_path / "state/step_0000002").rglob("*") if p.is_file()]
    rng = random.Random()
    for number in range(count(30, 300)):
        capsys.readouterr()
        victim = tmp_path / "state" / files[number % len(files)]
        damage(victim, rng)
        told = states.load(model, optimizer)
        assert told == {"step": 1}, victim
        assert torch.equal(model.weight, kept[1])
        assert "passed over a damaged state" in capsys.readouterr().out
        shutil.rmtree(tmp_path / "state")
        shutil.copytree(tmp_path / "good", tmp_path / "state")
    assert states.load(model, optimizer) == {"step": 2}
    assert torch.equal(model.weight, kept[2])


def test_another_models_state_is_bad_input(tmp_path):
    model, other = torch.nn.Linear(3, 2), torch.nn.Sequential(torch.nn.Linear(3, 2))
    states = StateFolder(tmp_path / "state")
    states.save(model, torch.optim.AdamW(model.parameters()), {"step": 1})
    with pytest.raises(InputError, match="step_0000001.*another model"):
        states.load(other, torch.optim.AdamW(other.parameters()))


def test_states_that_are_all_damaged_are_refused(words, tmp_path, capsys):
    train.main(words(tmp_path / "run", "epochs=1"))
    for folder in (tmp_path / "run" / "state").glob("step_*"):
        (folder / "progress.json").write_text("{}")
    with pytest.raises(SystemExit) as stop:
        train.main(words(tmp_path / "run", "epochs=1"))
    assert stop.value.code == 2
    assert "no state verifies" in capsys.readouterr().err


def test_going_on_with_other_settings_is_refused(words, tmp_path, capsys):
    train.main(words(tmp_path / "run", "epochs=1"))
    with pytest.raises(SystemExit) as stop:
        train.main(words(tmp_path / "run", "epochs=1", "lr=1e-3"))
    assert stop.value.code == 2
    assert "lr was 0.003 when this training began and is 0.001 now" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_non_finite_number_stops_before_the_update(words, what, tmp_path, capsys, monkeypatch):
    from siglip.steps import Stepper

    train.main(words(tmp_path / "good", "epochs=1"))
    original, seen = Stepper._embed, []

    def poisoned(self, part, pictures):
        made = original(self, part, pictures)
        seen.append(part)
        if len(seen) == 7:  # the seventh step of the run
            if what == "loss":
                made.image = made.image * float("nan")
            else:
                made.image.register_hook(lambda g: g * float("inf"))
        return made

    monkeypatch.setattr(Stepper, "_embed", poisoned)
    with pytest.raises(SystemExit) as stop:
        train.main(words(tmp_path / "run", "epochs=1"))
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert f"the {what}" in error
    assert error.count("image_") == 3  # the batch by its crops' names
    name, kept = state(tmp_path / "run")
    assert name == "step_0000006"
    assert all(v.isfinite().all() for v in kept.values() if isinstance(v, torch.Tensor))
    monkeypatch.setattr(Stepper, "_embed", original)
    train.main(words(tmp_path / "run", "epochs=1"))
    assert_same_ends(tmp_path / "run", tmp_path / "good")


def test_sigterm_saves_and_exits_within_ten_seconds(words, tmp_path):
    run = tmp_path / "run"
    process = subprocess.Popen(command(words(run, "epochs=4000", "save_every=0")), env=environment(),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    history, deadline = run / "history.jsonl", time.monotonic() + 120
    while not (history.is_file() and history.stat().st_size > 2000) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    out, _ = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 143, out
    assert "SIGTERM: state saved at step" in out
    saved = int(out.partition("state saved at step ")[2].partition(";")[0])
    assert steps_kept(run)[-1] == saved
    assert saved >= 8
