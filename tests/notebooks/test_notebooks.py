"""Every notebook is paired, stripped, and runs from first to last cell on a small run made once."""

import importlib.util
import os
import resource
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
LIMIT_S = 120  # of processor time for all of them together, the small run included


def load(name, folder="scripts"):
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_six():
    assert len(NAMES) == 6
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_pair_says_the_same_and_holds_no_output(name):
    import jupytext

    script, notebook = jupytext.read(FOLDER / f"{name}.py"), jupytext.read(FOLDER / f"{name}.ipynb")
    assert [(c.cell_type, c.source) for c in script.cells] == [(c.cell_type, c.source) for c in notebook.cells]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
        assert set(cell.metadata) <= {"lines_to_next_cell"}


def spent():
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def execute(name):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    return notebook


def test_all_run_on_a_small_run_within_two_minutes(tmp_path, monkeypatch):
    """The public commands make the run once, then a fresh kernel executes each notebook's cells in order."""
    monkeypatch.setenv("GROUNDER_RUN", str(tmp_path / "small"))
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    begun = spent()
    run = load("small_run").small_run(tell=lambda line: None)
    made = spent() - begun
    shown = {}
    for name in NAMES:
        notebook = execute(name)
        outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        shown[name] = sum("image/png" in output.get("data", {}) for output in outputs)
        text = "".join(output.get("text", "") for output in outputs)
        if name == "scorer_behaviour":
            assert text.count("scorer, ") >= 2
            assert "early_scorer" in text
        assert all(output.output_type != "error" for output in outputs)
    assert all(count >= 1 for name, count in shown.items()), shown
    took = spent() - begun
    print(f"small run {made:.0f} s, notebooks {took - made:.0f} s", file=sys.stderr)
    assert took < LIMIT_S
    assert run == (tmp_path / "small").resolve()
