"""siglip.convert against cp: time and memory for a large safetensors file.

    python benchmarks/convert.py [GIB] [FOLDER]

Nine rounds, one after the other in each: `cp` and fsync, then our copy under clean names (its fsync included), timed
from a warm interpreter; a plain read of the source warms the page cache before. Memory is the high-water mark of a
fresh process of the whole command.
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from benchmarks.recording import record, take_json
from siglip.convert.header import copy_renamed, read_header
from siglip.convert.keys import clean_keys

ROUNDS = 9
_COMMAND = """
import sys
from siglip.convert import main
main(sys.argv[1:])
with open("/proc/self/status") as status:  # getrusage would tell of the process that this one was forked from
    print("PEAK", next(line for line in status if line.startswith("VmHWM")).split()[1])
"""


def make_file(path: Path, gib: float) -> None:
    """A file of 16 tensors with wrapped names."""
    side = int((gib * 2**30 / 4 / 16) ** 0.5)
    rng = np.random.default_rng(0)
    tensors = {f"_orig_mod.layers.{i}._checkpoint_wrapped_module.weight": rng.random((side, side), np.float32)
               for i in range(16)}  # fmt: skip
    save_file(tensors, path, {"format": "pt"})


def copy_by_cp(source: Path, target: Path) -> float:
    """Seconds of `cp` and an fsync of its copy."""
    started = time.perf_counter()
    subprocess.run(["cp", str(source), str(target)], check=True)
    with open(target, "rb") as stream:
        os.fsync(stream.fileno())
    return time.perf_counter() - started


def copy_by_us(source: Path, target: Path) -> float:
    """Seconds of the whole conversion of a file: reading and checking the header, copying, fsync, renaming."""
    started = time.perf_counter()
    copy_renamed(source, target, clean_keys(read_header(source).entries, str(source)))
    return time.perf_counter() - started


def main() -> None:
    """Print the medians, their ratio and the peak memory."""
    file = take_json()
    gib = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        source, target = Path(folder) / "source.safetensors", Path(folder) / "target.safetensors"
        make_file(source, gib)
        print(f"{source.stat().st_size / 2**30:.2f} GiB, Python {platform.python_version()}, "
              f"safetensors {safetensors.__version__}, kernel {platform.release()}")  # fmt: skip
        subprocess.run(["cat", str(source)], stdout=subprocess.DEVNULL, check=True)
        times: dict[str, list[float]] = {"cp": [], "ours": []}
        for number in range(ROUNDS):
            order = [("cp", copy_by_cp), ("ours", copy_by_us)]
            for name, copy in order if number % 2 else reversed(order):
                times[name].append(copy(source, target))
                if name == "ours" and number == 0:
                    check(source, target)
                target.unlink()
        for name, spent in times.items():
            print(f"{name}: median {statistics.median(spent):.3f} s of {[round(s, 3) for s in spent]}")
        cp_s, ours_s = (statistics.median(times[name]) for name in ("cp", "ours"))
        print(f"ratio of medians (wanted <= 1.2): {ours_s / cp_s:.3f}")
        told = subprocess.run(
            [sys.executable, "-c", _COMMAND, f"source={source}", f"out={target}", f"run_dir={folder}/run"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        peak = int(told.rpartition("PEAK ")[2]) / 1024
        print(f"peak memory of the whole command (wanted <= 64 MB): {peak:.1f} MiB")
        record(file, "convert", {"gib": gib, "cp_s": cp_s, "ours_s": ours_s, "ratio": ours_s / cp_s, "peak_mib": peak})


def check(source: Path, target: Path) -> None:
    """The copy holds the source's tensors under clean names."""
    made, given = load_file(target), load_file(source)
    assert sorted(made) == [f"layers.{i}.weight" for i in sorted(range(16), key=str)]
    for name, tensor in given.items():
        np.testing.assert_array_equal(
            made[name.replace("_orig_mod.", "").replace("_checkpoint_wrapped_module.", "")], tensor
        )


if __name__ == "__main__":
    main()
