"""The ledger of looks: how often a held-out set has been looked at, kept beside the set itself.

Every look at a held-out score is a chance to choose by luck. A set with a ledger has each new system counted once;
scoring the same predictions again is no new look.
"""

import time
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import folder_lock, read_json, sha256_file, write_json


def ledger_path(truth: str) -> Path:
    """Where a truth file's ledger lies: `FILE.looks.json`, beside it."""
    return Path(f"{truth}.looks.json")


def count_look(truth: str, what: str, command: str, budget: int | None = None, num_looks: int = 1) -> str | None:
    """Count looks at a truth file before its score is told; returns a line to print, None when it has no ledger.

    what: a digest of what is scored; one that the ledger holds costs nothing. A budget makes the ledger, or changes
    its budget. Raises InputError when the budget is spent, and when the ledger is of another content of the file.
    """
    path = ledger_path(truth)
    if budget is None and not path.is_file():
        return None
    with folder_lock(path.parent, f".{path.name}.lock"):
        ledger = _read(path, truth, budget)
        spent = sum(look["num_looks"] for look in ledger["looks"])
        if what not in {look["what"] for look in ledger["looks"]}:
            if spent + num_looks > ledger["budget"]:
                state = f"{spent} of {ledger['budget']} looks at this set are spent and {num_looks} more asked for"
                raise InputError(f"{path}: {state}; use another set, or raise the budget on purpose (looks=N)")
            spent += num_looks
            when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            ledger["looks"].append({"when": when, "command": command, "what": what, "num_looks": num_looks})
            write_json(path, ledger)
    return f"looks at {truth}: {spent} of {ledger['budget']}"


def _read(path: Path, truth: str, budget: int | None) -> dict[str, Any]:
    digest = sha256_file(truth)
    if not path.is_file():
        return {"truth_sha256": digest, "budget": budget, "looks": []}
    ledger = read_json(path)
    if not isinstance(ledger, dict) or not {"truth_sha256", "budget", "looks"} <= ledger.keys():
        raise InputError(f"{path}: not a ledger of looks")
    if ledger["truth_sha256"] != digest:
        raise InputError(f"{path}: counts looks at another content of {truth}; remove it if the set is new")
    if budget is not None:
        ledger["budget"] = budget
    return ledger
