import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import wandb

from core.runs import RunFolder
from core.tracking import TrackingConfig, TrackingMode, start_tracker

ROOT = Path(__file__).resolve().parents[2]


def test_an_offline_run_is_kept_and_taken_up_again(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = RunFolder(tmp_path / "run", "siglip.train")
    folder.open("")
    tracker = start_tracker(TrackingConfig(), folder, "siglip.train", {"lr": 1e-3})
    run_id = tracker.run_id
    tracker.log({"loss": 2.0, "bad": float("nan")}, step=1)
    tracker.log_images("crops", [np.zeros((8, 8, 3), np.uint8)], step=1)
    tracker.log_table("table", ["a"], [[1]])
    tracker.finish()
    assert "wandb sync" in capsys.readouterr().err
    assert json.loads((folder.path / "history.jsonl").read_text()) == {"step": 1, "loss": 2.0, "bad": None}
    assert list(folder.path.glob("wandb/offline-run-*/*.wandb"))
    again = start_tracker(TrackingConfig(), folder, "siglip.train")
    assert again.run_id == run_id
    again.finish()


def test_a_tracker_that_cannot_start_stops_nothing(tmp_path, monkeypatch, capsys):
    """Online with a key and no way out: one line, the local history goes on, and W&B's run is kept to be sent later."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "5")
    wandb.teardown()  # or the address that an earlier run of this process read stays
    folder = RunFolder(tmp_path / "run", "siglip.train")
    folder.open("")
    tracker = start_tracker(TrackingConfig(mode=TrackingMode.online), folder, "siglip.train")
    tracker.log({"loss": 1.0}, step=1)
    tracker.finish()
    told = capsys.readouterr().err
    assert "could not start (online) and the run goes on" in told
    assert "wandb sync" in told
    assert len(list(folder.path.glob("wandb/offline-run-*/*.wandb"))) == 1
    assert json.loads((folder.path / "history.jsonl").read_text())["loss"] == 1.0


SAYS = "from core import tracking; mode = tracking._mode(tracking.TrackingMode.auto)"
LOGIN = "import wandb; wandb.login(key='0123456789abcdef' * 3, verify=False); mode = 'logged in'"


@pytest.mark.parametrize("own_server", [False, True])
def test_a_login_by_the_client_itself_is_a_key(tmp_path, own_server):
    """Whichever host the client logs in to; what `wandb.login` writes, `auto` must find.

    Each in a process of its own, left without the client's teardown: that waits for ever now and then.
    """
    own = {"WANDB_BASE_URL": "http://127.0.0.1:9"} if own_server else {}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    environment |= {"HOME": str(tmp_path), "NETRC": str(tmp_path / ".netrc"), **own}

    def told(program):
        words = [sys.executable, "-c", f"import os; {program}; print(mode, flush=True); os._exit(0)"]
        done = subprocess.run(words, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=60)
        return done.stdout.split("\n")[-2]

    assert [told(SAYS), told(LOGIN), told(SAYS)] == ["offline", "logged in", "online"]
