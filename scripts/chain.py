"""Run the whole chain, from annotations to a report, each step by the public command a user would type.

    python scripts/chain.py size=demo                                       # draws its own scenes
    python scripts/chain.py size=small annotations=FILE images=DIR          # your images, small models, CPU
    python scripts/chain.py size=published annotations=FILE images=DIR      # the published presets, GPU machine
    python scripts/chain.py size=small annotations=DIR                      # a YOLO or Roboflow export: its own parts

A step whose run folder is complete with the same command line is reused, a killed one goes on where it can, and
everything after a step that ran again runs again. `run_dir=DIR` says where (default runs/chain).
"""

import importlib
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from chain_record import write_record  # beside this script, like the next
from chain_steps import SIZES, Step, plan
from checking import check_chain, read_labels
from words import read_words, refuse

from core.errors import InputError
from core.runs import is_done, owner


def main() -> None:
    """Read the settings, then run or reuse every step."""
    known = ("size", "annotations", "images", "run_dir")
    settings = read_words("chain", __doc__, known, sys.argv[1:])
    root = Path(settings.pop("run_dir", "runs/chain"))
    size = settings.pop("size", "demo")
    if size not in SIZES:
        refuse("chain", f"size: {size!r} is not one of {', '.join(SIZES)}")
    try:
        labels = read_labels(root, settings.get("annotations"), settings.get("images"))
        steps = plan(SIZES[size], root, labels)
        check_chain(root, steps, labels)
    except InputError as error:
        refuse("chain", str(error))
    Chain(root, size).run(steps)


@dataclass
class Chain:
    """The steps of one chain and what became of them."""

    root: Path
    size: str = "demo"
    reused: int = 0  # steps that an earlier chain had made
    # What runs beside the others: the step, its process (None: an earlier chain's) and when it began.
    beside: list[tuple[Step, subprocess.Popen[bytes] | None, float]] = field(default_factory=list)

    def run(self, steps: list[Step]) -> None:
        """Run the steps in order; the first failure ends the chain with its status."""
        started, redo = time.monotonic(), False
        try:
            for number, step in enumerate(steps, start=1):
                head = f"[{number}/{len(steps)}] {step.title}"
                redo = redo or (step.joins and bool(self.beside))
                if step.beside and not redo and owner(step.folder) is not None:
                    print(f"{head}: goes on from an earlier chain, beside the next steps ({step.folder})", flush=True)
                    self.beside.append((step, None, time.monotonic()))
                    continue
                _await_earlier(step)
                if not redo and is_done(step.folder, step.words):
                    print(f"{head}: already done, reused ({step.folder})", flush=True)
                    self.reused += 1
                    continue
                redo = redo or not step.beside  # only what waits for it depends on what runs beside
                self._join(step)
                print(f"{head}\n    $ {shlex.join(step.shown)}", flush=True)
                self._run(step)
        finally:
            for _, process, _ in self.beside:
                if process is not None:
                    process.terminate()
        wall_s = time.monotonic() - started
        print(f"the chain took {wall_s:.0f} s\n")
        self._summary(wall_s)

    def _run(self, step: Step) -> None:
        begun = time.monotonic()
        if step.beside:
            log = step.folder.with_suffix(".log")
            log.parent.mkdir(parents=True, exist_ok=True)
            with open(log, "ab") as stream:
                process = subprocess.Popen(step.argv, stdout=stream, stderr=subprocess.STDOUT)
            self.beside.append((step, process, begun))
            print(f"    runs beside the next steps; its own words are in {log}", flush=True)
            return
        if step.in_process:  # light commands share this process; the heavy ones get their own, and their memory back
            importlib.import_module(step.command).main(step.words)
        else:
            _check(step, subprocess.run(step.argv, check=False).returncode)
        print(f"    {time.monotonic() - begun:.0f} s", flush=True)

    def _join(self, step: Step) -> None:
        """Before a step that needs them all, wait for what runs beside."""
        while step.joins and self.beside:
            other, process, begun = self.beside.pop(0)
            print(f"    waiting for {other.command}", flush=True)
            if process is not None:
                _check(other, process.wait())
            else:
                _await_earlier(other)
                if not is_done(other.folder, other.words):
                    _check(other, subprocess.run(other.argv, check=False).returncode)
            print(f"    {other.command}: {time.monotonic() - begun:.0f} s", flush=True)

    def _summary(self, wall_s: float) -> None:
        report = self.root / "report"
        print((report / "report.md").read_text().split("\n## ")[0].rstrip() + "\n")
        print(f"report: {(report / 'report.html').resolve()}")
        print(f"figures: {write_record(self.root, self.size, wall_s, self.reused).resolve()}")


def _await_earlier(step: Step) -> None:
    """A step that a killed chain left running goes on by itself; wait for what it makes."""
    number = owner(step.folder)
    if number is not None:
        print(f"{step.command}: an earlier chain's process {number} still runs in {step.folder}; waiting", flush=True)
    while owner(step.folder) is not None:
        time.sleep(1)


def _check(step: Step, status: int) -> None:
    if status != 0:
        log = f" (see {step.folder.with_suffix('.log')})" if step.beside else ""
        first = "mend what it says; then " if status == 2 else ""
        goes_on = f"{first}the same command goes on here"
        print(f"chain: {step.command} ended with status {status}{log}; {goes_on}", file=sys.stderr)
        raise SystemExit(status)


if __name__ == "__main__":
    main()
