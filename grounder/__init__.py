"""The command line: settings composed by Hydra, one clear line for a wrong one, a run folder for each command."""

import os
import sys
from pathlib import Path


def own_rooms_first() -> None:
    """Let our rooms win over a `data/` or `core.py` of the user's working folder, which `python -m` puts first."""
    root, here = str(Path(__file__).resolve().parent.parent), os.getcwd()
    if sys.path and sys.path[0] in {"", here} and here != root:
        sys.path[:] = [root, *sys.path[1:], sys.path[0]]


own_rooms_first()
