"""Exact resume of the scorer's training: stopped or killed anywhere, it ends at the same weights."""

import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from resuming import assert_same_ends, command, environment, launch, state, steps_kept

from core.manifest import verify_manifest
from siglip import train

CACHING = ["batch.micro=1"]


class Killed(BaseException):
    """Stands for a death that nothing in the program can catch or tidy up after."""


@pytest.mark.faults
@pytest.mark.parametrize("more", [[], CACHING], ids=["plain", "cached"])
def test_stopping_at_steps_13_7_29_changes_nothing(words, more, tmp_path, monkeypatch, count):
    from siglip.train.steps import Stepper

    train.main(words(tmp_path / "whole", *more))
    original = Stepper.take
    for last in (13, 7, 29)[: count(short=1, full=3)]:
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


def stop_within_one_launch(words, more, folder):
    whole, run = folder / "whole", folder / "run"
    said = launch([(whole, 0), (run, 13), (run, "8nan"), (run, 0)], words(run, *more))
    assert said.count("died at step 13") == 2
    assert said.count("going on from step 10 ") == 1
    assert said.count("ended with status 2") == 2  # both, though the numbers of one alone were spoilt
    assert said.count("going on from step 18 ") == 1
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
    """In full killed by signal and launched anew, sharded too; in short a stop and a NaN within one cached launch."""
    if request.config.getoption("--full"):
        for name, more in {"plain": [], "cached": CACHING, "sharded": ["strategy=fsdp"]}.items():
            stop_by_signals(words, more, tmp_path / name)
    else:
        stop_within_one_launch(words, CACHING, tmp_path)


def saves_begun(run):
    """The unfinished saves on disk, each as one folder and no other."""
    found = set()
    for path in (run / "state").glob("*.partial"):
        with contextlib.suppress(FileNotFoundError):  # finished between the two looks
            found.add((path.name, path.stat().st_ino))
    return found


def kill_somewhere(words, run, in_save, rng, whole_s):
    """One start of the training and its kill, at random or while a save is seen to go on.

    Returns (whether it was killed, what is on disk of the save that the kill fell into). An unfinished save counts only
    if this process began it and, after its death, it still lies there unfinished.
    """
    before, seen = saves_begun(run), 0
    process = subprocess.Popen(command(words), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    limit = time.monotonic() + (300 if in_save else rng.uniform(0.3, 1.0) * whole_s)
    passed_over = rng.randrange(4)
    while process.poll() is None and time.monotonic() < limit:
        begun = saves_begun(run) - before
        if in_save and begun:
            seen += 1
            before |= begun if seen <= passed_over else set()
            if seen > passed_over:
                time.sleep(rng.uniform(0, 0.02))
                break
        time.sleep(0.0005)
    process.kill()
    errors = process.communicate()[1]
    if process.returncode == 0:
        return False, None
    assert process.returncode == -signal.SIGKILL, errors[-2000:]
    left = saves_begun(run) - before
    if not left:
        return True, None
    return True, sorted(p.name for p in (run / "state" / left.pop()[0]).rglob("*") if p.is_file())


def steps_logged(run):
    lines = (run / "history.jsonl").read_text().splitlines() if (run / "history.jsonl").is_file() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


def assert_finished_folders_are_whole(run):
    for folder in (run / "last", run / "best"):
        if folder.is_dir():
            verify_manifest(folder)


@pytest.mark.faults
def test_a_chain_of_kills_loses_no_complete_state(words, tmp_path, count):
    """kill -9 at random moments, some of them inside a save, one run restarted until it is through."""
    kills, in_save = count(3, 50), count(1, 15)
    interval = 2
    long = ["epochs=12", f"save_every={interval}"] if kills > 3 else [f"save_every={interval}"]
    started = time.monotonic()
    whole = subprocess.run(
        command(words(tmp_path / "whole", *long)), env=environment(), capture_output=True, timeout=300
    )
    assert whole.returncode == 0, whole.stderr[-2000:]
    whole_s = time.monotonic() - started
    rng, run = random.Random(), tmp_path / "run"
    done, newest, caught = 0, 0, []
    while done < kills or len(caught) < in_save:
        aims = len(caught) < in_save and (rng.random() < 0.6 or kills - done <= in_save - len(caught))
        killed, left = kill_somewhere(words(run, *long), run, aims, rng, whole_s)
        kept, logged = steps_kept(run), steps_logged(run)
        assert not newest or (kept and kept[-1] >= newest), f"complete state {newest} was lost: {kept}"
        newest = kept[-1] if kept else 0
        assert logged - newest <= interval, f"{logged} steps taken, the last state is of {newest}"
        assert_finished_folders_are_whole(run)
        if killed:
            done += 1
            caught += [left] if left is not None else []
        else:  # it got through before it was killed: on with a new one
            assert_same_ends(run, tmp_path / "whole")
            shutil.rmtree(run)
            newest = 0
    last = subprocess.run(command(words(run, *long)), env=environment(), capture_output=True, text=True, timeout=300)
    assert last.returncode == 0, last.stderr[-2000:]
    assert_same_ends(run, tmp_path / "whole")
    assert not saves_begun(run)
    files = sorted(len(left) for left in caught)
    print(f"{done} kills, {len(caught)} of them inside a save, which held {files} files")


def test_going_on_with_other_settings_is_refused(words, tmp_path, capsys):
    train.main(words(tmp_path / "run", "epochs=1"))
    with pytest.raises(SystemExit) as stop:
        train.main(words(tmp_path / "run", "epochs=1", "lr=1e-3"))
    assert stop.value.code == 2
    assert "lr was 0.003 when this training began and is 0.001 now" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_non_finite_number_stops_before_the_update(words, what, tmp_path, capsys, monkeypatch):
    from siglip.train.steps import Stepper

    train.main(words(tmp_path / "good", "epochs=1"))
    original, seen = Stepper._embed, []

    def poisoned(self, part, images):
        made = original(self, part, images)
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


@pytest.mark.faults
def test_sigterm_saves_and_exits_within_ten_seconds(words, tmp_path, count):
    """Told to the process itself, and in full also to the launcher of two, which passes it on."""
    for processes in range(1, count(short=1, full=2) + 1):
        run = tmp_path / f"run_{processes}"
        start = command(words(run, "epochs=4000", "save_every=0"))
        launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", f"--num_processes={processes}",
                    "--main_process_port=0"]  # fmt: skip
        process = subprocess.Popen([*launcher, *start[1:]] if processes > 1 else start, env=environment(),
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
        history, deadline = run / "history.jsonl", time.monotonic() + 120
        while not (history.is_file() and history.stat().st_size > 2000) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        out, _ = process.communicate(timeout=30)
        assert time.monotonic() - began < 10
        assert processes > 1 or process.returncode == 143, out  # a launcher has a status of its own
        assert out.count("SIGTERM: state saved at step") == 1, out
        saved = int(out.partition("state saved at step ")[2].partition(";")[0])
        assert steps_kept(run)[-1] == saved
        assert saved >= 8
