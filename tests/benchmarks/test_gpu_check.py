"""scripts/gpu_check.py with tiny sizes on a CPU: every row, what is absent, what fails, and the folder of wheels."""

import importlib
import json
import sys
import zipfile
from pathlib import Path

import gpu_check
import pytest

from benchmarks.gpu import rows as running
from benchmarks.gpu import wheels
from benchmarks.gpu.lines import Line, table
from benchmarks.gpu.rows import Row, run_apart, run_here


def check(*words):
    sys.argv[1:] = ["size=tiny", "device=cpu", "apart=false", "json=found.json", *words]
    with pytest.raises(SystemExit) as stop:
        gpu_check.main()
    return stop.value.code, [Line(**line) for line in json.loads(Path("found.json").read_text())["lines"]]


@pytest.fixture(autouse=True)
def _own_words(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu_check"])
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_every_row_runs_with_tiny_sizes(capsys):
    importlib.import_module("detector.environment")  # without Ultralytics this test is skipped: it is an extra
    status, lines = check(f"wheels={Path.cwd()}/none")
    assert [line.note for line in lines] == [""] * len(lines)
    assert status == 0
    printed = capsys.readouterr().out
    assert "sizes: tiny" in printed
    assert "torch " in printed
    said = "\n".join(line.row for line in lines)
    for part in (
        "tiny_yolo 64 px",
        "tiny_yolo 96 px",
        "YOLOv6 128x128",
        "SigLIP large",
        "SigLIP so400m",
        "pipeline 152x87",
    ):
        assert part in said
    compared = [line for line in lines if line.ratio is not None]
    assert len(compared) == 2 + 4 + 1 + 6  # detectors, scorers, the pipeline, agreement
    assert all(line.ratio > 0 for line in compared)
    assert [line.ratio for line in lines if "cpu and cpu" in line.row] == [1.0] * 6
    shares = next(line.ours for line in lines if line.row.startswith("stages"))
    assert sum(int(part.split()[-2]) for part in shares.split(", ")) == pytest.approx(100, abs=3)


def test_what_is_absent_or_fails_is_a_line_and_the_others_go_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    monkeypatch.setitem(sys.modules, "spandrel", None)
    broken = Row("broken", "sizes:sizes_of", 1, ("one argument too many",))
    chosen = [row for row in running.ROWS if row.name in {"pipeline", "siglip_large"}]
    monkeypatch.setattr(running, "ROWS", (chosen[0], broken, chosen[1]))
    status, lines = check()
    notes = {(line.row, line.note) for line in lines if line.note}
    assert status == 1
    assert ("pipeline", "not run: spandrel absent") in notes or ("pipeline", "not run: ultralytics absent") in notes
    assert any(row == "broken" and note.startswith("failed: TypeError: ") for row, note in notes)
    assert [note for row, note in notes if row.startswith("SigLIP")] == ["not run: open_clip absent"]
    assert next(line.ratio for line in lines if "transformers" in line.peer) > 0


def test_a_row_of_its_own_process_is_ended_when_its_time_is_over():
    row = next(row for row in running.ROWS if row.name == "yolov6l6")
    (late,) = run_apart(row, ["size=tiny", "device=cpu"], 0.2)
    assert (late.failed, late.note) == (True, "failed: not done within 0 s")
    (wrong,) = run_apart(row, ["size=huge"], 60)
    assert wrong.note == (
        "failed: its process ended with status 2: gpu_check: size: huge is none of auto, full, tiny"
    )  # fmt: skip


def test_a_ratio_below_its_goal_is_missed_and_so_is_none_at_all():
    assert [Line("a", ratio=r, goal=1.0).missed for r in (1.0, 0.99, float("nan"))] == [False, True, True]
    assert not Line("a", ratio=0.1).missed
    assert not Line("a", note="not run: x absent").missed
    assert "| a |  |  | 0.5 | 1 | missed |" in table([Line("a", ratio=0.5, goal=1.0)])
    assert sum(row.most_s for row in running.ROWS) <= 480  # eight minutes
    (line,) = run_here(Row("absent", "nothing_here:measure", 1), "tiny", "cpu")
    assert line.failed  # a module of ours that is missing is a defect, not an absent package


def test_refused_words(refused, monkeypatch):
    for word, told in (("rows=nobody", "nobody is none of agreement"), ("device=tpu", "neither cuda nor cpu")):
        monkeypatch.setattr(sys, "argv", ["gpu_check", word])
        assert told in refused(gpu_check.main)


def test_wheels_that_fit_are_unpacked_once_behind_everything_else(tmp_path):
    minor = sys.version_info.minor
    names = {
        f"one-1.0-cp3{minor}-cp3{minor}-manylinux2014_x86_64.whl": True,
        f"one-1.0-cp3{minor + 1}-cp3{minor + 1}-manylinux2014_x86_64.whl": False,
        "two-1.0-cp310-abi3-manylinux2014_x86_64.whl": True, "two-1.0-cp399-abi3-manylinux2014_x86_64.whl": False,
        "three-1.0-py3-none-any.whl": True, "three-1.0-py2.py3-none-any.whl": True,
    }  # fmt: skip
    assert {name: wheels.fits(name, minor) for name in names} == names
    with zipfile.ZipFile(tmp_path / "three-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("three_of_a_wheel/__init__.py", "VALUE = 3\n")
        archive.writestr("three-1.0.data/purelib/four_of_a_wheel.py", "VALUE = 4\n")
    wheels.attach(tmp_path)
    assert sys.path[-1] == str(tmp_path / f"unpacked-cp3{minor}")
    import four_of_a_wheel
    import three_of_a_wheel

    assert (three_of_a_wheel.VALUE, four_of_a_wheel.VALUE) == (3, 4)
    kept = (Path(sys.path[-1]) / ".wheels").stat().st_mtime_ns
    wheels.attach(tmp_path)
    assert (Path(sys.path[-1]) / ".wheels").stat().st_mtime_ns == kept
    assert sys.path.count(sys.path[-1]) == 1


def test_the_lock_names_every_wheel():
    assert {line.partition("==")[0] for line in wheels.pinned()} == set(wheels.NEEDED)
