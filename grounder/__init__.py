"""The command line: settings composed by Hydra, one clear line for a wrong one, a run folder for each command."""

import os
import sys
from pathlib import Path
from types import TracebackType


def own_rooms_first() -> None:
    """Let our rooms win over a `data/` or `core.py` of the user's working folder, which `python -m` puts first."""
    root, here = str(Path(__file__).resolve().parent.parent), os.getcwd()
    if sys.path and sys.path[0] in {"", here} and here != root:
        sys.path[:] = [root, *sys.path[1:], sys.path[0]]


def interrupt_in_one_line() -> None:
    """Make Ctrl-C while a command still imports end as it does later: one line and status 130, no traceback.

    Only where one of our commands is what runs (`python -m` has "-m" in place of the name as long as it imports): a
    program of a user's own that imports us keeps its hook.
    """
    if sys.argv[:1] != ["-m"] and Path(sys.argv[0] if sys.argv else "").name != "grounder":
        return
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            before(kind, error, trace)
            return
        name = next((word for word in sys.orig_argv[1:] if word != "-m" and not word.startswith("-")), "grounder")
        print(f"{Path(name).name}: interrupted", file=sys.stderr, flush=True)
        os._exit(130)  # an uncaught interrupt would end by the signal itself

    sys.excepthook = hook


own_rooms_first()
interrupt_in_one_line()
