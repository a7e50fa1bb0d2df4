"""Small data sets made on the spot, and a check of how commands complain."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.images import write_image

SIZE = (96, 64)  # width, height
BOXES = ([10, 12, 20, 16], [40, 20, 30.5, 24.25], [70, 40, 26, 24])


def make_entry(number: int, boxes: Any = BOXES, suffix: str = ".jpg") -> dict[str, Any]:
    """One image's entry; its captions differ from each other."""
    colours = ("red", "grey", "blue and white", "green", "black", "white")
    annotations = [{"caption": f"{colours[i]} drone", "bbox": list(box)} for i, box in enumerate(boxes)]
    return {"image": f"image_{number}{suffix}", "annotations": annotations}


def write_jsonl(path: Path, entries: list[Any]) -> Path:
    """Entries as JSON Lines; a str is written as it stands."""
    path.write_text("".join((e if isinstance(e, str) else json.dumps(e)) + "\n" for e in entries))
    return path


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """`a.jsonl` with ten images of three boxes (one of them over the top edge), and `images/`."""
    rng = np.random.default_rng(0)
    entries = [make_entry(i) for i in range(10)]
    entries[3]["annotations"][1]["bbox"] = [40, -4, 20, 12]
    for e in entries:
        coarse = rng.integers(0, 255, (8, 12, 3)).astype(np.uint8)
        write_image(tmp_path / "images" / e["image"], np.kron(coarse, np.ones((8, 8, 1), np.uint8)))
    write_jsonl(tmp_path / "a.jsonl", entries)
    return tmp_path


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must end with status 2 and one line on standard error; returns that line."""

    def run(main: Callable[[list[str]], None], *words: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        assert stop.value.code == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    return run


def made_files(folder: Path) -> set[str]:
    """What a run folder holds beside its records."""
    records = {"config.yaml", "run.json", "metrics.json"}
    if not folder.is_dir():
        return set()
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() or p.is_symlink()} - records


@pytest.fixture(name="entry")
def _entry() -> Callable[..., dict[str, Any]]:
    return make_entry


@pytest.fixture(name="write_jsonl")
def _write_jsonl() -> Callable[[Path, list[Any]], Path]:
    return write_jsonl


@pytest.fixture(name="made_files")
def _made_files() -> Callable[[Path], set[str]]:
    return made_files
