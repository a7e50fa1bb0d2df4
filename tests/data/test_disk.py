"""What a disk that refuses does to the commands: one line, status 2, nothing half-written."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from data.placing import Place, put_file, write_plain

COMMANDS = {
    "data.crops": ["format=png"],
    "data.noise": ["grade=gauss2500"],
    "data.yolo": ["place=copy"],
}


def run_full(module: str, words: list[str], limit: int) -> subprocess.CompletedProcess[str]:
    """Run a command whose files may not grow beyond `limit` bytes, which fails as a full disk does."""
    code = f"""
        import importlib, resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        importlib.import_module({module!r}).main({words!r})
    """
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", COMMANDS)
def test_a_full_disk_is_one_line(toy, write_jsonl, entry, module):
    import numpy as np

    from core.images import read_image, write_image

    write_image("images/image_0.jpg", np.tile(read_image("images/image_0.jpg"), (10, 10, 1)))
    write_jsonl(toy / "a.jsonl", [entry(0, boxes=[[0, 0, 900, 600]])])
    done = run_full(module, ["annotations=a.jsonl", "images=images", "run_dir=out", *COMMANDS[module]], 4000)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be written: File too large" in done.stderr
    left = [p for p in Path("out").rglob("*") if p.suffix in {".jpg", ".png", ".tmp"} or p.name == "data.yaml"]
    assert left == []


@pytest.mark.parametrize("how", Place)
def test_a_file_in_the_place_of_a_folder(tmp_path, how):
    (tmp_path / "file").write_text("x")
    for act in (
        lambda: write_plain(tmp_path / "file/a.png", b"data"),
        lambda: put_file(tmp_path / "file", tmp_path / "file/a.png", how),
    ):
        with pytest.raises(ValueError, match="file/a.png: cannot be written: "):
            act()
    assert (tmp_path / "file").read_text() == "x"


def test_a_run_folder_below_a_file(toy):
    words = [sys.executable, "-m", "data.crops", "annotations=a.jsonl", "images=images", "run_dir=a.jsonl/out"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("data.crops: a.jsonl/out: ")
    assert len(done.stderr.splitlines()) == 1
