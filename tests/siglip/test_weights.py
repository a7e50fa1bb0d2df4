"""What `scorer=` may name: a folder, a run's best or last, `weights_dir`, the hub; and what is told at once."""

import time

import pytest

from core.errors import InputError
from core.weights import use_weights_dir
from siglip.weights import find_scorer


def folder(path):
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    return path


def test_a_run_folder_is_its_best_or_last(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text("{}")
    with pytest.raises(InputError, match="holds neither best/ nor last/"):
        find_scorer(str(tmp_path / "run"))
    last = folder(tmp_path / "run/last")
    assert find_scorer(str(tmp_path / "run")) == str(last)
    best = folder(tmp_path / "run/best")
    assert find_scorer(str(tmp_path / "run")) == str(best)
    assert find_scorer(str(last)) == str(last)
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match="images: holds no config.json, so no library"):
        find_scorer(str(tmp_path / "images"))
    with pytest.raises(InputError, match="lats: no such file or folder"):
        find_scorer(str(tmp_path / "run/lats"))


def test_a_name_is_looked_for_in_weights_dir_and_said_at_once_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("GROUNDER_WEIGHTS", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    began = time.monotonic()
    with pytest.raises(InputError, match="hf download nobody/nothing --local-dir .*elsewhere/nobody/nothing"):
        find_scorer("nobody/nothing")
    assert time.monotonic() - began < 10
    use_weights_dir(str(tmp_path / "mine"))
    there = folder(tmp_path / "mine/nobody/nothing")
    assert find_scorer("nobody/nothing") == str(there)
