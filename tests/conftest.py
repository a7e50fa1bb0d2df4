"""Options and fixtures of the whole suite."""

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import hypothesis
import pytest

try:
    ULTRALYTICS = importlib.util.find_spec("ultralytics") is not None
except ValueError:  # it is kept from being imported
    ULTRALYTICS = False

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine makes no test fail
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the fault tests with the issues' full counts")


def _asks_for_ultralytics(error: BaseException) -> bool:
    name = getattr(error, "name", None) or ""
    return "the package ultralytics (AGPL-3.0) is not installed" in str(error) or name.split(".")[0] == "ultralytics"


@contextlib.contextmanager
def _skipped_without_ultralytics() -> Iterator[None]:
    """Skip what needs Ultralytics where it is not installed: it is an extra."""
    try:
        yield
    except BaseException as error:
        if ULTRALYTICS or not _asks_for_ultralytics(error):
            raise
        pytest.skip("not run: ultralytics absent")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Iterator[None]:
    """For what tests do."""
    with _skipped_without_ultralytics():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """For what their fixtures make."""
    with _skipped_without_ultralytics():
        return (yield)


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`count(short=3, full=50)`: how many faults to cause, by the --full option."""

    def choose(short: int, full: int) -> int:
        return full if request.config.getoption("--full") else short

    return choose


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`refused(main, "a=1", ...)`: the one line with which a command refuses these words, at exit status 2."""

    def ask(main: Callable[..., object], *words: object) -> str:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(*words)
        error = capfd.readouterr().err
        assert stop.value.code == 2
        assert error.count("\n") == 1, error
        return error

    return ask


@pytest.fixture
def run_processes() -> Callable[..., str]:
    """`run_processes(2, "script.py", ...)`: what so many gloo processes print; each may import what lies beside it."""

    def run(number: int, *words: object, timeout: float = 240) -> str:
        root, beside = Path(__file__).resolve().parents[1], [Path(str(w)).parent for w in words[:1]]
        paths = os.pathsep.join(map(str, [root, *beside]))
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={number}"]
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*launcher, *map(str, words)], env=environment, capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """The folder of published reference data that may lie beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "reference"
    if not folder.is_dir():
        pytest.skip("not run: reference absent")
    return folder


@pytest.fixture(scope="session")
def save_standin() -> Callable[..., None]:
    """`save_standin(path, features=8, convolutions=2)`: Real-ESRGAN's compact network with a last layer of zeros.

    It adds the nearest-neighbour enlargement of its input to what its layers say, so it is exactly that enlargement,
    through every line that trained weights would go through.
    """

    def save(path: Path, features: int, convolutions: int) -> None:
        import torch
        from safetensors.torch import save_file
        from spandrel.architectures.Compact import Compact  # noqa: F401  (spandrel registers the architecture)
        from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

        torch.manual_seed(0)
        network = SRVGGNetCompact(num_feat=features, num_conv=convolutions, upscale=4)
        for parameter in network.body[-1].parameters():
            torch.nn.init.zeros_(parameter)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(network.state_dict(), path)

    return save


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in an empty folder of its own, so none can lean on or litter the checkout."""
    monkeypatch.chdir(tmp_path)
