"""What a scorer's training tells Weights & Biases, read back from the files of its offline run, stopped and resumed."""

import json

import pytest
import yaml
from offline_runs import offline_files, told

from siglip import train
from siglip.train.launching import Stopped, StopSignal


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_MODE", raising=False)  # without a key it is offline by itself


def test_one_run_through_a_stop_holds_all_there_is_to_tell(make_crops, checkpoint, tmp_path, offline, monkeypatch):
    crops, held_out = make_crops(images=12), make_crops("held_out", images=4, seed=1)
    words = [f"crops={crops}", f"val_crops={held_out}", f"scorer={checkpoint}", "recipe=augv2", "batch.size=12",
             "epochs=2", "lr=1e-3", "log_every=1", "save_epochs=true", f"run_dir={tmp_path}/run"]  # fmt: skip
    checks = iter(range(100))

    def check(self):  # as SIGTERM within the second epoch
        if next(checks) == 16:
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(StopSignal, "check", check)
        with pytest.raises(Stopped):
            train.main(words)
    train.main(words)

    first, second = (told(path) for path in offline_files(tmp_path / "run"))
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert first["id"] == second["id"] == record["id"]
    assert first["project"] == "grounder"
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    for found in (first, second):
        settings = found["settings"]
        assert (settings["lr"], settings["batch"], settings["recipe"]["name"]) == (1e-3, config["batch"], "augv2")
    steps = [row for found in (first, second) for row in found["rows"] if "grad_norm" in row]
    told_steps = [row["_step"] for row in steps]
    assert sorted(set(told_steps)) == list(range(1, 9))  # two epochs of four
    assert second["rows"][0]["_step"] == told_steps[len([r for r in first["rows"] if "grad_norm" in r]) - 1]
    for row in steps:
        assert {"loss", "scale", "bias", "lr", "grad_norm", "samples_per_s"} <= set(row)
    epochs = [row for found in (first, second) for row in found["rows"] if "ranking_accuracy" in row]
    assert [row["epoch"] for row in epochs] == [1, 2]
    assert {"ranking_accuracy", "chance", "retrieval_at_1"} <= set(epochs[0])
    history = [json.loads(line) for line in (tmp_path / "run/history.jsonl").read_text().splitlines()]
    local = [entry for entry in history if "ranking_accuracy" in entry]
    for ours, theirs in zip(local, epochs, strict=True):
        assert {k: theirs[k] for k in ours if k not in {"step", "samples_per_s"}} == pytest.approx(
            {k: v for k, v in ours.items() if k not in {"step", "samples_per_s"}}
        )
    for found in (first, second):  # a sheet of augmented crops, of the start and of the resumption
        assert found["history"]["augmented/_type"] == "images/separated"
        assert found["media"]
        assert {name for name in found["summary"] if name.startswith("probe/")}
    assert not first["artifacts"]
    assert second["artifacts"] == {f"{record['id']}-{name}": "scorer" for name in ("last", "best")}
