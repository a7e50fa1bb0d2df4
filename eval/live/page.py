"""`live.html` in a training's run folder: curves, augmented samples, validation images; it reloads itself.

live.html          one file without any reference to the outside, replaced whole
live_images.json   the images that it shows, so that a resumed run, or another of its processes, goes on with them
"""

import base64
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from pathlib import Path

from core.errors import InputError, reason
from core.files import read_json, write_json, write_text
from core.images import encode_image
from core.stages import Image
from eval.charts.svg import number, svg
from eval.charts.training import training_charts
from eval.runs import FoundRun

PAGE, IMAGES = "live.html", "live_images.json"
RELOAD_S = 20
LONG_SIDE = 1200  # pixels of an image as the page carries it
QUALITY = 80
AUGMENTED, ANSWERS = "What the network is trained on", "Validation images with answers"  # the page's headings


class State(Enum):
    """What a training is doing."""

    running = "running"
    stopped = "stopped"  # the same command goes on with it
    done = "done"


@dataclass(frozen=True)
class Shown:
    """An image, what is written below it, and whether it shows something right or wrong; None: neither."""

    image: Image
    text: str = ""
    is_right: bool | None = None


class LivePage:
    """The page of one run; for the process that writes the run's records."""

    def __init__(self, run: Path, command: str) -> None:
        self._run, self._command = run, command

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """The page of a run that begins here, and is done or stopped at the block's end."""
        self.write()
        try:
            yield
        except BaseException:
            self.write(State.stopped)
            raise
        self.write(State.done)

    def show(self, heading: str, shown: Sequence[Shown]) -> None:
        """Put images under a heading of the page in place of those that stood there; the next `write` shows them."""
        told = [{"text": one.text, "is_right": one.is_right, "jpeg": _jpeg(one.image)} for one in shown]
        with _Quietly():
            write_json(self._run / IMAGES, self._images() | {heading: told})

    def write(self, state: State = State.running) -> None:
        """Write the page anew. A page that cannot be written costs a line on standard error, never the training."""
        from jinja2 import Environment, StrictUndefined

        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.globals |= {"svg": svg}
        with _Quietly():
            run = FoundRun(self._run, self._command, {}, {})
            write_text(self._run / PAGE, environment.from_string(_asset("live/assets/live.html.j2")).render(
                name=self._run.resolve().name, command=self._command, state=state.value,
                reload_s=RELOAD_S if state is not State.done else None,
                written=time.strftime("%Y-%m-%d %H:%M:%S"), figures=_figures(run),
                css=_asset("report/assets/report.css") + _asset("live/assets/live.css"),
                charts=training_charts([run]), images=self._images(),
            ))  # fmt: skip

    def _images(self) -> dict[str, list[dict[str, object]]]:
        path = self._run / IMAGES
        return dict(read_json(path)) if path.is_file() else {}


class _Quietly:
    """Tells of a full disk or a damaged file in one line, and goes on."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, InputError | OSError):
            return False
        print(f"{PAGE}: not written, and the run goes on: {reason(error)}", file=sys.stderr)
        return True


def _figures(run: FoundRun) -> list[tuple[str, str]]:
    """The figures of the last epoch, by name, as short text."""
    epochs = [entry for entry in run.history() if "epoch" in entry]
    last = epochs[-1] if epochs else {}
    return [(name.replace("_", " "), number(float(f"{value:.4g}"))) for name, value in last.items()
            if isinstance(value, int | float) and "/" not in name and not name.startswith("num_")]  # fmt: skip


def _jpeg(image: Image) -> str:
    import cv2
    import numpy as np

    share = LONG_SIDE / max(image.shape[:2])
    if share < 1:
        size = max(1, round(image.shape[1] * share)), max(1, round(image.shape[0] * share))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return base64.b64encode(encode_image(image, ".jpg", QUALITY)).decode("ascii")


def _asset(name: str) -> str:
    return (files("eval") / name).read_text(encoding="utf-8")
