"""What a finished chain found, as `chain.json` in its folder: figures with command, commit, date and machine."""

import json
import os
import platform
from pathlib import Path
from typing import Any

RECORD = "chain.json"


def write_record(root: Path, size: str, wall_s: float, reused: int) -> Path:
    """Gather the figures of the chain's run folders; `reused`: how many of its steps an earlier chain had made."""
    judged, boxes, export, noisy = (_metrics(root / name) for name in ("grounding", "coco", "export", "export_noisy"))
    run = json.loads((root / "grounding" / "run.json").read_text())
    stages = json.loads((root / "report" / "report.json").read_text())["stages"]
    record = {
        "command": f"python scripts/chain.py size={size} run_dir={root}",
        "date": run["started"][:10],
        "commit": run["commit"],
        "machine": f"{os.cpu_count()} cores ({platform.machine()})",
        "wall_s": round(wall_s),
        "steps_reused": reused,
        "figures": {
            "images": export["num_images"],
            "captions": judged["num_captions"],
            "right": judged["num_hits"],
            "accuracy": judged["accuracy"],
            "ci95": judged["ci95"],
            "right_noisy": noisy["num_hits"],
            "accuracy_noisy": noisy["accuracy"],
            "ci95_noisy": noisy["ci95"],
            "chance": stages["chance"],
            "ceiling": stages["ceiling"],
            "scorer_alone": stages["scorer_given_target"],
            "AP50": boxes["AP50"],
            "AP": boxes["AP"],
        },
    }
    path = root / RECORD
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return path


def _metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())  # type: ignore[no-any-return]
