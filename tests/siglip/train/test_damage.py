"""Damaged checkpoints of the scorer's training: every changed byte is seen, and the state before it is taken."""

import random
import shutil

import pytest
import torch
from resuming import assert_same_ends, damage

from core.errors import InputError
from core.manifest import MANIFEST, verify_manifest
from siglip import evaluate, train
from siglip.model import load_parts
from siglip.train import states
from siglip.train.states import StateFolder


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


def changes(data, rng, everywhere):
    """`data` with one changed bit: at its ends, its middle and anywhere, or at each of its bytes."""
    ends = [0, len(data) // 2, len(data) - 1, *(rng.randrange(len(data)) for _ in range(3))]
    for place in range(len(data)) if everywhere else ends:
        changed = bytearray(data)
        changed[place] ^= 1 << rng.randrange(8)
        yield place, bytes(changed)


def test_any_changed_byte_of_a_finished_folder_is_refused(words, tmp_path, refused):
    """Weights, configuration, tokenizer, preprocessing, model card, and each byte of the manifest itself."""
    train.main(words(tmp_path / "run", "epochs=1"))
    rng, folder = random.Random(), tmp_path / "run/last"
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    assert {"model.safetensors", "config.json", "tokenizer.json", "grounder.json", MANIFEST} <= {p.name for p in files}
    for file in files:
        data = file.read_bytes()
        for place, changed in changes(data, rng, everywhere=file.name == MANIFEST):
            file.write_bytes(changed)
            with pytest.raises(InputError, match=r"run/last/.*remove the folder's manifest"):
                load_parts(str(folder))
                pytest.fail(f"{file} with byte {place} changed was loaded")
        file.write_bytes(data)
    load_parts(str(folder))
    damage(folder / "model.safetensors", rng)
    for main in (evaluate.main, train.main):
        told = refused(main, [f"crops={tmp_path}/crops", f"scorer={folder}", f"run_dir={tmp_path}/{main.__module__}"])
        assert "model.safetensors: its content differs from the manifest's sha256" in told


def test_a_finished_folder_is_replaced_in_one_step(tmp_path, monkeypatch):
    """With the swap of names that the system offers, and with the two renames for systems without one."""
    for swaps in (True, False):
        if not swaps:
            monkeypatch.setattr(states, "_swap", lambda one, other: False)
        for text in ("first", "second", "third"):
            states.publish(tmp_path / "best", lambda folder, text=text: (folder / "weights").write_text(text))
            verify_manifest(tmp_path / "best")
            assert (tmp_path / "best/weights").read_text() == text
            assert [p.name for p in tmp_path.iterdir()] == ["best"]
    with pytest.raises(OSError, match="disk full"):
        states.publish(tmp_path / "best", failing)
    verify_manifest(tmp_path / "best")


def failing(folder):
    (folder / "weights").write_text("half")
    raise OSError("disk full")


def test_another_models_state_is_bad_input(tmp_path):
    model, other = torch.nn.Linear(3, 2), torch.nn.Sequential(torch.nn.Linear(3, 2))
    states = StateFolder(tmp_path / "state")
    states.save(model, torch.optim.AdamW(model.parameters()), {"step": 1})
    with pytest.raises(InputError, match="step_0000001.*another model"):
        states.load(other, torch.optim.AdamW(other.parameters()))


def test_states_that_are_all_damaged_are_refused(words, tmp_path, capsys):
    train.main(words(tmp_path / "run", "epochs=1"))
    capsys.readouterr()
    train.main(words(tmp_path / "run", "epochs=1"))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch 1/1")]
    assert line.startswith("epoch 1/1 (trained before; judged again): ")
    assert "samples_per_s" not in line
    for folder in (tmp_path / "run" / "state").glob("step_*"):
        (folder / "progress.json").write_text("{}")
    with pytest.raises(SystemExit) as stop:
        train.main(words(tmp_path / "run", "epochs=1"))
    assert stop.value.code == 2
    assert "no state verifies" in capsys.readouterr().err
