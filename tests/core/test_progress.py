from core import progress as module
from core.progress import progress


def test_every_item_passes_and_plain_lines_tell_how_far(monkeypatch, capsys):
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.0)
    assert list(progress(range(3), "cropping")) == [0, 1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("cropping: 1/3 in")
    assert lines[-1].startswith("cropping: 3/3 in")


def test_short_work_says_nothing(capsys):
    assert list(progress(iter("ab"), "cropping")) == ["a", "b"]
    assert capsys.readouterr().err == ""
