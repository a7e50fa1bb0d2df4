"""The rows of the GPU check, and how each is run: what one raises is its line, and the others go on."""

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.gpu.lines import ROOT, Line
from benchmarks.gpu.sizes import Sizes, sizes_of

Measure = Callable[[Sizes, str], list[Line]]


@dataclass(frozen=True)
class Row:
    """A row: the function that measures it, as `module:function`, and its share of the time."""

    name: str
    measure: str
    most_s: float
    settings: tuple[int | str, ...] = ()


ROWS = (
    Row("agreement", "agreement:agreement", 35),
    Row("pipeline", "pipelines:pipeline", 65),
    Row("yolov6l6", "detectors:yolov6l6", 40),
    Row("yolov9e_1280", "detectors:yolov9e", 55, (0,)),
    Row("yolov9e_1600", "detectors:yolov9e", 55, (1,)),
    Row("siglip_large", "scorers:siglip", 105, ("large",)),
    Row("siglip_so400m", "scorers:siglip", 125, ("so400m",)),
)  # together 480 s, eight minutes


def run_here(row: Row, size: str, device: str) -> list[Line]:
    """Measure a row in this process; what it prints is held back, and what it raises becomes its line."""
    module, _, name = row.measure.partition(":")
    noise = io.StringIO()
    try:
        with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            measure = getattr(importlib.import_module(f"benchmarks.gpu.{module}"), name)
            return list(measure(sizes_of(size), device, *row.settings))
    except Exception as error:  # whatever a row raises, the others go on
        absent = _absent(error)
        if absent is not None:
            return [Line(row.name, note=f"not run: {absent} absent")]
        told = " ".join(str(error).split()) or "no message"
        return [Line(row.name, note=f"failed: {type(error).__name__}: {told[:300]}", failed=True)]


def _absent(error: BaseException | None) -> str | None:
    """The package whose absence an error, or what it was made from, tells of."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            top = error.name.partition(".")[0]
            return None if (ROOT / top).is_dir() else top
        error = error.__cause__ or error.__context__
    return None


def run_apart(row: Row, words: Sequence[str], most_s: float) -> list[Line]:
    """Measure a row in a process of its own, which is ended after `most_s` seconds."""
    script = str(ROOT / "scripts" / "gpu_check.py")
    asked = [sys.executable, script, *words, f"rows={row.name}", "apart=false", "lines=true"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=most_s, env=os.environ)
    except subprocess.TimeoutExpired:
        return [Line(row.name, note=f"failed: not done within {most_s:.0f} s", failed=True)]
    for text in reversed(done.stdout.splitlines()):
        if text.startswith("["):
            return [Line(**values) for values in json.loads(text)]
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return [Line(row.name, note=f"failed: its process ended with status {done.returncode}: {last[:300]}", failed=True)]


def measure_all(chosen: Sequence[Row], size: str, device: str, apart: Sequence[str] | None) -> list[Line]:
    """Every row's lines; each is told on standard error as it ends. apart: the words for processes of their own."""
    found: list[Line] = []
    left_s = 0.0  # of the time of the rows before
    for row in chosen:
        began = time.perf_counter()
        left_s += row.most_s
        lines = run_here(row, size, device) if apart is None else run_apart(row, apart, left_s)
        left_s -= time.perf_counter() - began
        told = f"{row.name}: {time.perf_counter() - began:.0f} s"
        print(told + "".join(f"; {line.note}" for line in lines if line.note), file=sys.stderr, flush=True)
        found += lines
    return found
