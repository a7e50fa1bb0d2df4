"""Every benchmark starts by its path as well as by its module name, and tells its usage where it takes options."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))

# Started by path, a script's folder stands first on the search path: what lies there hides packages of the same name.
LOADING = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
for path in sys.argv[2:]:
    assert "main" in runpy.run_path(path, run_name="loaded"), path
"""


def test_none_has_the_name_of_a_package():
    rooms = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert not {path.stem for path in BENCHMARKS} & {*rooms, *sys.stdlib_module_names}


def test_all_import_what_they_need_when_started_by_path(tmp_path):
    words = [sys.executable, "-c", LOADING, ROOT / "benchmarks", *BENCHMARKS]
    told = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr[-2000:]


@pytest.mark.parametrize("name", ["server"])
def test_usage_by_path_and_by_name(name, tmp_path):
    for words, folder in (([ROOT / f"benchmarks/{name}.py"], tmp_path), (["-m", f"benchmarks.{name}"], ROOT)):
        told = subprocess.run([sys.executable, *words, "--help"], cwd=folder, capture_output=True, text=True)
        assert told.returncode == 0
        assert "--rounds" in told.stdout


def test_what_was_measured_is_kept_where_the_pages_take_it_from(tmp_path):
    """A figure is put beside the others, with its command, and the word that asks for it is none of the benchmark's."""
    file = tmp_path / "speed.json"
    file.write_text('{"figures": {"other": {"ratio": 3}}}')
    words = [sys.executable, ROOT / "benchmarks" / "coco.py", "20", "5", f"json={file}"]
    told = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    figures = json.loads(file.read_text())["figures"]
    assert figures["other"] == {"ratio": 3}
    assert figures["coco"].keys() == json.loads((ROOT / "docs/results/speed.json").read_text())["figures"][
        "coco"].keys() - {"source"} | {"commit"}  # fmt: skip
    assert figures["coco"]["what"].endswith("benchmarks/coco.py 20 5")
    assert f"{figures['coco']['ratio']:.0f}x" in told
