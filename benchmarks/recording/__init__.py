"""Keep what a benchmark measured where README and handbook take it from: `json=docs/results/speed.json`."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def take_json() -> Path | None:
    """The FILE of the word `json=FILE`, which is taken off the command line; None without one."""
    words = [word for word in sys.argv if word.startswith("json=")]
    for word in words:
        sys.argv.remove(word)
    return Path(words[-1].removeprefix("json=")) if words else None


def record(file: Path | None, name: str, figures: dict[str, Any]) -> None:
    """Put the figures under their name into the file, with command, date, commit and machine; all else there stays."""
    if file is None:
        return
    told = json.loads(file.read_text()) if file.is_file() else {"command": "see `what` of each figure"}
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    about = {
        "what": " ".join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "commit": head or None,
        "machine": f"{os.cpu_count()} cores ({platform.machine()})",
    }
    told["date"] = about["date"]
    told.setdefault("figures", {})[name] = about | figures
    file.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
