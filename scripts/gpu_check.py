"""Speed and agreement on a GPU at the published sizes, with random weights, in one table (at most 8 minutes).

    python scripts/gpu_check.py                        # with any Python 3.11 or 3.12 that holds torch and transformers
    python scripts/gpu_check.py size=tiny device=cpu   # every row in seconds, to see that it still works
    python scripts/gpu_check.py rows=pipeline,agreement json=FILE

What else it needs is taken from the wheels that `make gpu-wheels` left in wheels=DIR (runs/gpu-wheels); nothing is
installed, no network is asked. A package that is found nowhere makes its row "not run: X absent"; a row that fails says
so in a line, and the others go on. Rows: agreement, pipeline, yolov6l6, yolov9e_1280, yolov9e_1600, siglip_large,
siglip_so400m; each in a process of its own (apart=false: in this one), which ends when its share of the 8 minutes and
what the rows before it left of theirs is used up.
size: full, tiny or auto (full where there is a GPU). Status 1 where a ratio misses its goal or a row failed.
It has never run on a GPU: none was at hand where it was written, and the test suite runs it with size=tiny on a CPU.
"""

import json
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path

from words import read_words, refuse  # beside this script

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(1, str(ROOT))  # it runs where the program is not installed

os.environ.setdefault("YOLO_VERBOSE", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

KNOWN = ("size", "device", "rows", "apart", "wheels", "json", "lines")
PACKAGES = ("torch", "transformers", "accelerate", "ultralytics", "open_clip_torch", "timm", "albumentations",
            "spandrel", "opencv-python", "numpy")  # fmt: skip


def main() -> None:
    """Measure the rows asked for, print their table."""
    words = read_words("gpu_check", __doc__, KNOWN, sys.argv[1:])
    from benchmarks.gpu.lines import as_json, table
    from benchmarks.gpu.rows import ROWS, measure_all
    from benchmarks.gpu.wheels import attach

    attach(Path(words.get("wheels", ROOT / "runs/gpu-wheels")))
    named = [name for name in words.get("rows", "").split(",") if name]
    stranger = next((name for name in named if name not in {row.name for row in ROWS}), None)
    if stranger is not None:
        refuse("gpu_check", f"rows: {stranger} is none of {', '.join(row.name for row in ROWS)}")
    device, size = machine(words)
    handed_on = [f"{k}={words[k]}" for k in ("wheels",) if k in words] + [f"size={size}", f"device={device}"]
    apart = None if words.get("apart") == "false" else handed_on
    began = time.monotonic()
    chosen = [row for row in ROWS if not named or row.name in named]
    lines = measure_all(chosen, size, device, apart)
    if words.get("lines") == "true":
        print(as_json(lines))
        return
    print(f"{about(device)}; sizes: {size}; {time.monotonic() - began:.0f} s\n\n{table(lines)}")
    if "json" in words:
        Path(words["json"]).write_text(json.dumps({"about": about(device), "lines": json.loads(as_json(lines))}))
    raise SystemExit(int(any(line.missed for line in lines)))


def machine(words: dict[str, str]) -> tuple[str, str]:
    """The device, cuda or cpu, and the size, full or tiny."""
    size = words.get("size", "auto")
    if size not in {"auto", "full", "tiny"}:
        refuse("gpu_check", f"size: {size} is none of auto, full, tiny")
    try:
        import torch
    except ModuleNotFoundError:
        refuse("gpu_check", "this Python holds no torch; name another by make gpu-check PYTHON=...")
    device = words.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
    if device not in {"cuda", "cpu"}:
        refuse("gpu_check", f"device: {device} is neither cuda nor cpu; CUDA_VISIBLE_DEVICES says which GPU")
    if device == "cuda" and not torch.cuda.is_available():
        refuse("gpu_check", "device: torch sees no GPU here")
    return device, ("tiny" if device == "cpu" else "full") if size == "auto" else size


def about(device: str) -> str:
    """The machine and the versions of what was measured."""
    import torch

    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    where = torch.cuda.get_device_name() if device != "cpu" else f"cpu, {os.cpu_count()} cores"
    return f"{where}; Python {platform.python_version()}, {', '.join(found)}"


if __name__ == "__main__":
    main()
