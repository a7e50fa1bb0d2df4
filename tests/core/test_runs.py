import json
import os
import subprocess
import sys
import textwrap

import pytest

from core.errors import InputError
from core.runs import RunFolder, choose_run_dir, is_done, owner


def test_a_run_folder_tells_what_was_run(tmp_path):
    folder = RunFolder(tmp_path / "run", "data.split", ["python", "-m", "data.split", "a=1"], seed=3)
    folder.open("a: 1\n")
    assert json.loads((folder.path / "run.json").read_text())["state"] == "running"
    folder.close({"n": 1})
    record = json.loads((folder.path / "run.json").read_text())
    assert record["state"] == "done"
    assert record["command_line"][-1] == "a=1"
    assert record["seed"] == 3
    assert record["versions"]["numpy"]
    assert json.loads((folder.path / "metrics.json").read_text()) == {"n": 1}


def test_parents_are_found_from_any_file_of_theirs(tmp_path):
    parent = RunFolder(tmp_path / "parent", "data.split")
    parent.open("")
    (parent.path / "deep").mkdir()
    child = RunFolder(tmp_path / "child", "data.crops")
    child.open("")
    child.add_parent(parent.path / "deep" / "train.jsonl")
    child.add_parent(parent.path)
    child.add_parent(tmp_path)
    assert [p["id"] for p in child.parents] == [parent.id]


def test_a_folder_of_another_command_is_refused(tmp_path):
    RunFolder(tmp_path, "data.split").open("")
    RunFolder(tmp_path, "data.split").open("")
    with pytest.raises(InputError, match=r"run_dir.*already holds a run of data\.split"):
        RunFolder(tmp_path, "data.crops").open("")


def test_a_folder_in_use_is_refused_until_its_process_is_gone(tmp_path):
    code = """
        import pathlib, sys, time
        from core.runs import RunFolder
        folder = RunFolder(pathlib.Path(sys.argv[1]), "data.split")
        folder.open("")
        print("in", flush=True)
        time.sleep(60)
    """
    code = textwrap.dedent(code)
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "in\n"
        assert owner(tmp_path) == other.pid
        with pytest.raises(InputError, match=rf"'run_dir': in use by process {other.pid}"):
            RunFolder(tmp_path, "data.split").open("")
        other.kill()
        other.wait()
    assert owner(tmp_path) is None
    folder = RunFolder(tmp_path, "data.split")
    folder.open("")
    folder.close({})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.yaml", "metrics.json", "run.json"]


def test_two_runs_in_one_second_get_two_folders():
    first = choose_run_dir("data.split", None, rank=0, processes=1)
    first.mkdir(parents=True)
    assert choose_run_dir("data.split", None, rank=0, processes=1) != first


def test_ranks_agree_on_a_folder_that_only_rank_0_names():
    code = """
        import os, sys
        from core.runs import choose_run_dir
        print(choose_run_dir("siglip.train", None, int(os.environ["RANK"]), 2))
    """
    ranks = []
    for rank in (1, 0):
        environment = {
            **os.environ,
            "RANK": str(rank),
            "WORLD_SIZE": "2",
            "MASTER_PORT": str(20_000 + os.getpid() % 9999),
        }
        words = [sys.executable, "-c", textwrap.dedent(code)]
        ranks.append(subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True))
    answers = {process.communicate(timeout=60)[0] for process in ranks}
    assert len(answers) == 1
    assert "siglip.train" in answers.pop()


def test_several_machines_need_a_given_folder(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(InputError, match="run_dir: must be given"):
        choose_run_dir("siglip.train", None, rank=0, processes=8)


def test_a_run_that_fails_on_a_full_disk_says_so_in_place(tmp_path, monkeypatch):
    """The record cannot be written anew where nothing can; its state is changed where it stands."""
    folder = RunFolder(tmp_path / "run", "data.split")
    folder.open("")

    def full(*_):
        raise InputError("run.json: cannot be written: No space left on device")

    monkeypatch.setattr("core.runs.write_json", full)
    before = (folder.path / "run.json").stat().st_size
    folder.record("failed")
    assert json.loads((folder.path / "run.json").read_text())["state"] == "failed"
    assert (folder.path / "run.json").stat().st_size == before
    assert owner(folder.path) is None
    with pytest.raises(InputError, match="No space left"):
        folder.close(None)


def test_a_run_is_done_when_it_ended_with_these_very_words(tmp_path):
    assert not is_done(tmp_path, ["a=1"])
    folder = RunFolder(tmp_path, "x.y", ["python", "-m", "x.y", "a=1"])
    folder.open("a: 1\n")
    assert not is_done(tmp_path, ["a=1"])
    folder.close({})
    assert is_done(tmp_path, ["a=1"])
    assert not is_done(tmp_path, ["a=2"])
    assert not is_done(tmp_path, [])
    (tmp_path / "run.json").write_text("{")
    assert not is_done(tmp_path, ["a=1"])
