"""Options and fixtures of the whole suite."""

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the fault tests with the issues' full counts")


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`count(short=3, full=50)`: how many faults to cause, by the --full option."""

    def choose(short: int, full: int) -> int:
        return full if request.config.getoption("--full") else short

    return choose


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """The folder of published reference data that may lie beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "reference"
    if not folder.is_dir():
        pytest.skip("not run: reference absent")
    return folder


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in an empty folder of its own, so none can lean on or litter the checkout."""
    monkeypatch.chdir(tmp_path)
