"""data.tfds without TensorFlow Datasets; with it: tests/extras."""

import sys

import pytest

from data.tfds import main


def test_without_the_extra_one_line_says_what_is_needed(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(SystemExit) as stop:
        main(["crops=somewhere", "run_dir=out"])
    assert stop.value.code == 2
    error = capfd.readouterr().err
    assert "data.tfds needs the extra 'jax'" in error
    assert error.count("\n") == 1
