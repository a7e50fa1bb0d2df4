"""Run the whole chain, from annotations to a report, each step by the public command a user would type.

    python scripts/chain.py size=demo                                       # draws its own scenes
    python scripts/chain.py size=small annotations=FILE images=DIR          # your pictures, small models, CPU
    python scripts/chain.py size=published annotations=FILE images=DIR      # the published presets, GPU machine

A step whose run folder is complete with the same command line is reused, a killed one goes on where it can, and
everything after a step that ran again runs again. `run_dir=DIR` says where (default runs/chain).
"""

import importlib
import json
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from chain_steps import SIZES, Step, plan  # beside this script


def main() -> None:
    """Read the settings, then run or reuse every step."""
    settings = _settings(sys.argv[1:])
    root = Path(settings.pop("run_dir", "runs/chain"))
    size = settings.pop("size", "demo")
    if size not in SIZES:
        _stop(f"size: {size!r} is not one of {', '.join(SIZES)}")
    steps = plan(SIZES[size], root, settings.pop("annotations", None), settings.pop("images", None))
    if settings:
        _stop(f"{next(iter(settings))}: no such setting; size, annotations, images and run_dir are")
    Chain(root).run(steps)


def _settings(words: list[str]) -> dict[str, str]:
    if any(w in {"-h", "--help"} for w in words):
        print(__doc__)
        raise SystemExit(0)
    wrong = next((w for w in words if "=" not in w), None)
    if wrong is not None:
        _stop(f"{wrong}: not of the form key=value")
    return dict(w.split("=", 1) for w in words)  # type: ignore[misc]


def _stop(message: str) -> None:
    print(f"chain: {message}", file=sys.stderr)
    raise SystemExit(2)


@dataclass
class Chain:
    """The steps of one chain and what became of them."""

    root: Path

    def run(self, steps: list[Step]) -> None:
        """Run the steps in order; the first failure ends the chain with its status."""
        started, redo = time.monotonic(), False
        for number, step in enumerate(steps, start=1):
            head = f"[{number}/{len(steps)}] {step.title}"
            if not redo and self._complete(step):
                print(f"{head}: already done, reused ({step.folder})", flush=True)
                continue
            redo = True
            print(f"{head}\n    $ {shlex.join(step.shown)}", flush=True)
            begun = time.monotonic()
            self._run(step)
            print(f"    {time.monotonic() - begun:.0f} s", flush=True)
        print(f"the chain took {time.monotonic() - started:.0f} s\n")
        self._summary()

    def _complete(self, step: Step) -> bool:
        try:
            record = json.loads((step.folder / "run.json").read_text())
        except (OSError, ValueError):
            return False
        return record.get("state") == "done" and record["command_line"][3:] == step.words

    def _run(self, step: Step) -> None:
        if step.in_process:  # light commands share this process; the heavy ones get their own, and their memory back
            importlib.import_module(step.command).main(step.words)
            return
        done = subprocess.run(step.argv, check=False)
        if done.returncode != 0:
            print(f"chain: {step.command} ended with status {done.returncode}; the same command goes on here")
            raise SystemExit(done.returncode)

    def _summary(self) -> None:
        report = self.root / "report"
        print((report / "report.md").read_text().split("\n## ")[0].rstrip() + "\n")
        print(f"report: {(report / 'report.html').resolve()}")


if __name__ == "__main__":
    main()
