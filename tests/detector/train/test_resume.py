"""Exact resume: killed at any moment and run again, the training ends at the same weights, bit for bit."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import InputError
from detector.train.states import StateFolder

ROOT = Path(__file__).resolve().parents[3]
EPOCHS = 5

# Accumulation over batches that do not divide the epoch, warm-up, and mosaic closed late.
SETTINGS = [
    "recipe=v3", f"stages=[{{imgsz: 64, epochs: {EPOCHS}}}]", "device=cpu", "tracking.mode=disabled",
    "detector.train.args={batch: 4, nbs: 12, plots: false, amp: false, warmup_epochs: 1, close_mosaic: 2, mixup: 0.3}",
]  # fmt: skip


def command(tree: Path, model: Path, run_dir: Path) -> list[str]:
    words = [f"data={tree}", f"detector.train.model={model}", f"run_dir={run_dir}", *SETTINGS]
    return [sys.executable, "-m", "detector.train", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "YOLO_VERBOSE": "false"}


def run_to_end(tree: Path, model: Path, run_dir: Path) -> float:
    began = time.monotonic()
    done = subprocess.run(command(tree, model, run_dir), env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return time.monotonic() - began


def run_and_kill(tree: Path, model: Path, run_dir: Path, is_time: Callable[[], bool]) -> bool:
    """Start the command and kill it with SIGKILL once it is time; False when it was faster."""
    process = subprocess.Popen(
        command(tree, model, run_dir), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        if is_time():
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.002)
    return False


def after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def last_state(run_dir: Path) -> int:
    """Number of the last complete epoch, -1 before the first."""
    states = (run_dir / "stage_1" / "state").glob("epoch_?????")
    return max((int(p.name[6:]) for p in states), default=-1)


def tensors(value: object, prefix: str = "") -> dict[str, object]:
    """Every tensor and number inside a state, by its path."""
    if isinstance(value, dict):
        return {k2: v2 for k, v in value.items() for k2, v2 in tensors(v, f"{prefix}.{k}").items()}
    if isinstance(value, list | tuple):
        return {k2: v2 for i, v in enumerate(value) for k2, v2 in tensors(v, f"{prefix}[{i}]").items()}
    return {prefix: value}


def assert_equal_ends(run: Path, expected: Path) -> None:
    """Full-precision state, published weights and the table of epochs (but for its clock) are the same."""
    name = f"epoch_{EPOCHS - 1:05d}/state.pt"
    ours, theirs = (
        tensors(torch.load(r / "stage_1" / "state" / name, weights_only=True)) for r in (run, expected)
    )  # fmt: skip
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        same = torch.equal(ours[key], value) if isinstance(value, torch.Tensor) else ours[key] == value  # type: ignore[arg-type]
        assert same, key
    for file in ("best.pt", "last.pt"):
        a, b = (torch.load(r / "weights" / file, weights_only=False)["model"].state_dict() for r in (run, expected))
        assert all(torch.equal(a[k], b[k]) for k in b), file
    assert rows(run) == rows(expected)


def rows(run: Path) -> list[dict[str, str]]:
    text = (run / "results.csv").read_text()
    return [{k: v for k, v in row.items() if k != "time"} for row in csv.DictReader(text.splitlines())]


@pytest.mark.faults
def test_kills_at_random_moments_change_nothing(
    make_tree: Callable, tiny_model: Path, tmp_path: Path, count: Callable
) -> None:
    """Kills at random moments, and, in the full count, some in the first epoch and some after the last besides."""
    tree = make_tree(train=10)
    usual_s = run_to_end(tree, tiny_model, tmp_path / "whole")
    rng = random.Random()  # any moment, a new one each time; the message of a failure names it
    landed: list[int] = []  # the last complete epoch of each kill

    def end_equally(run_dir: Path, moment: str) -> None:
        landed.append(last_state(run_dir))
        run_to_end(tree, tiny_model, run_dir)
        try:
            assert_equal_ends(run_dir, tmp_path / "whole")
        except AssertionError as error:
            raise AssertionError(f"killed {moment}, after epoch {landed[-1]}: {error}") from error

    attempts = 0
    while len(landed) < count(1, 20):
        attempts += 1
        run_dir, after_s, began = tmp_path / f"killed_{attempts}", rng.uniform(0.35, 1.0) * usual_s, time.monotonic()
        if not run_and_kill(tree, tiny_model, run_dir, after(after_s)):
            usual_s = time.monotonic() - began  # it was faster, and proves nothing: the machine has become idler
            continue
        if rng.random() < 0.5:
            run_and_kill(tree, tiny_model, run_dir, after(rng.uniform(0.3, 0.9) * usual_s))
        end_equally(run_dir, f"after {after_s:.2f} s of {usual_s:.2f}")
    for number in range(count(0, 3)):
        run_dir = tmp_path / f"first_{number}"
        assert run_and_kill(tree, tiny_model, run_dir, lambda d=run_dir: any((d / "stage_1").glob("sample_0.jpg")))
        end_equally(run_dir, "in the first epoch")
        run_dir = tmp_path / f"last_{number}"
        assert run_and_kill(tree, tiny_model, run_dir, lambda d=run_dir: last_state(d) == EPOCHS - 1)
        end_equally(run_dir, "after the last epoch")
    print(f"last complete epoch at each kill: {landed}")


def test_stopping_after_any_epoch_and_after_the_last_changes_nothing(
    make_tree: Callable, train: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same in one process, at the moments a random kill rarely meets: between an epoch's state and the next
    epoch, and between the last epoch and the stripping of the checkpoints."""
    from detector.settings import StageConfig
    from detector.train.trainer import StageTrainer

    tree = make_tree(train=10)
    args = {"nbs": 12, "warmup_epochs": 1, "close_mosaic": 2}
    stages = [StageConfig(imgsz=64, epochs=EPOCHS)]
    whole = train(tree, "whole", stages=stages, args=args)

    class Killed(BaseException):
        pass

    def dying(*_: object) -> None:
        raise Killed

    original = StageTrainer.save_model
    for epoch in (0, 2, 3):

        def save(self: StageTrainer, last: int = epoch) -> bool:
            saved = original(self)
            if self.epoch == last:
                raise Killed
            return saved

        monkeypatch.setattr(StageTrainer, "save_model", save)
        with pytest.raises(Killed):
            train(tree, f"run_{epoch}", stages=stages, args=args)
        monkeypatch.setattr(StageTrainer, "save_model", original)
        assert_equal_ends(train(tree, f"run_{epoch}", stages=stages, args=args), whole)
    monkeypatch.setattr(StageTrainer, "final_eval", dying)
    with pytest.raises(Killed):
        train(tree, "run_last", stages=stages, args=args)
    monkeypatch.undo()
    assert_equal_ends(train(tree, "run_last", stages=stages, args=args), whole)


def test_a_damaged_state_is_passed_over_or_refused(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    assert folder.load() is None
    for epoch in range(3):
        folder.save({"epoch": epoch, "weight": torch.full((4,), float(epoch))}, b"epoch\n")
    assert sorted(p.name for p in folder.path.iterdir()) == ["epoch_00001", "epoch_00002"]
    newest = folder.path / "epoch_00002" / "state.pt"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(bytes(data))
    state = folder.load()
    assert state is not None
    assert state[0]["epoch"] == 1
    (folder.path / "epoch_00001" / "state.pt").write_bytes(b"")
    with pytest.raises(InputError, match="no state verifies"):
        folder.load()


def test_an_epoch_depends_on_its_number_only_with_several_workers(make_tree: Callable) -> None:
    """The loader's batches of epoch 3 are the same whether epochs 0 to 2 were loaded before or not."""
    from types import SimpleNamespace

    from ultralytics.cfg import get_cfg
    from ultralytics.data import build_dataloader
    from ultralytics.utils import DEFAULT_CFG

    from detector.train.dataset import TrainingSet
    from detector.train.plan import StagePlan
    from detector.train.trainer import StageTrainer

    hyp = get_cfg(DEFAULT_CFG, {"mosaic": 0.7, "mixup": 0.3, "imgsz": 64})
    batches = []
    for epochs in ((0, 1, 3), (3,)):
        dataset = TrainingSet(
            img_path=str(make_tree() / "images" / "train"), imgsz=64, batch_size=4, augment=True, hyp=hyp, rect=False,
            cache=None, single_cls=True, stride=32, pad=0.0, prefix="", task="detect", classes=None,
            data={"names": {0: "target"}, "channels": 3}, fraction=1.0, plan=StagePlan(rectangle=True),
        )  # fmt: skip
        loader = build_dataloader(dataset, batch=4, workers=2, shuffle=True, rank=-1)
        for epoch in epochs:
            StageTrainer._seed_epoch(SimpleNamespace(args=SimpleNamespace(seed=0), epoch=epoch, train_loader=loader))  # type: ignore[arg-type]
            seen = [batch["img"].numpy().copy() for batch in loader]
        batches.append(np.concatenate(seen))
        loader.close()
    np.testing.assert_array_equal(batches[0], batches[1])
    assert batches[0].std() > 10
