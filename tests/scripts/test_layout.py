"""docs/layout.md is what the files say of themselves, and none of them is silent."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def layout():
    spec = importlib.util.spec_from_file_location("layout", ROOT / "scripts" / "layout.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_in_step(layout):
    assert layout.PAGE.read_text() == layout.page(), "python scripts/layout.py writes it anew"


def test_every_file_has_its_line(layout):
    """Against git's own list of files."""
    text = layout.page()
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rooms = [path for path in map(Path, tracked.split()) if path.parts[0] in (*layout.FIRST, *layout.BESIDE)]
    assert len(rooms) > 200
    for room in {path.parts[0] for path in rooms}:
        section = text.split(f"## {room}\n")[1].split("\n## ")[0]
        for path in (path for path in rooms if path.parts[0] == room and not path.name.startswith("__")):
            assert f"{path.name} " in section or f"{path.name}\n" in section, path


def test_every_file_says_what_it_is(layout):
    for name in (*layout.FIRST, *layout.BESIDE):
        for path in (ROOT / name).rglob("*.py"):
            if path.name != "__main__.py" and "__pycache__" not in path.parts:
                said = layout.sentence(path)
                assert len(said.split()) >= 2, path
                assert said[-1] in ".:?)", (path, said)
