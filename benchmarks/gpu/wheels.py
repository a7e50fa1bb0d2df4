"""What the GPU check needs beside torch and transformers, as a folder of wheels for a machine without a network.

    python -m benchmarks.gpu.wheels [runs/gpu-wheels]     # fill it here, for Python 3.11 and 3.12 on Linux (x86_64)

The versions are those of requirements.lock. `attach` unpacks what fits the running Python beside the wheels, once, and
puts it behind everything that this Python already holds.
"""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from benchmarks.gpu.lines import ROOT

MOST_BYTES = 40_000_000
PYTHONS = ("3.11", "3.12")
PLATFORMS = tuple(f"manylinux{tag}_x86_64" for tag in ("1", "2010", "2014", "_2_17", "_2_24", "_2_27", "_2_28"))
BUILT_HERE = ("antlr4-python3-runtime",)  # published as source alone
# OpenCV, scipy, numba, timm, torch and transformers with what they need are expected to be there.
NEEDED = (
    "accelerate", "albucore", "albumentations", "annotated-types", "antlr4-python3-runtime", "einops", "ftfy",
    "hotcoco", "hydra-core", "omegaconf", "open-clip-torch", "psutil", "pydantic", "pydantic-core", "simsimd",
    "spandrel", "stringzilla", "typing-inspection", "ultralytics", "ultralytics-thop", "wcwidth",
)  # fmt: skip


def attach(folder: Path) -> None:
    """Put the wheels that fit this Python at the end of its path; nothing where the folder is not there."""
    if not folder.is_dir():
        return
    version = f"cp3{sys.version_info.minor}"
    target = folder / f"unpacked-{version}"
    wheels = [wheel for wheel in sorted(folder.glob("*.whl")) if fits(wheel.name, sys.version_info.minor)]
    told = "\n".join(wheel.name for wheel in wheels)
    stamp = target / ".wheels"
    if not (stamp.is_file() and stamp.read_text() == told):
        shutil.rmtree(target, ignore_errors=True)
        for wheel in wheels:
            unpack(wheel, target)
        stamp.write_text(told)
    if str(target) not in sys.path:
        sys.path.append(str(target))


def fits(wheel: str, minor: int) -> bool:
    """Whether a wheel's name says that Python 3.`minor` can use it."""
    python, abi = wheel.removesuffix(".whl").split("-")[-3:-1]
    if abi == "abi3":
        return any(int(tag[3:]) <= minor for tag in python.split(".") if re.fullmatch(r"cp3\d+", tag))
    return any(tag in {f"cp3{minor}", f"py3{minor}", "py3"} for tag in python.split("."))


def unpack(wheel: Path, target: Path) -> None:
    """A wheel's files where Python finds them; those under `.data/purelib` and `platlib` belong to its root."""
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    for part in ("purelib", "platlib"):
        for inside in target.glob(f"*.data/{part}"):
            shutil.copytree(inside, target, dirs_exist_ok=True)


def pinned() -> list[str]:
    """`name==version` of what is needed, as requirements.lock has it."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    found = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE))
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise SystemExit(f"gpu-wheels: {', '.join(missing)}: not in requirements.lock")
    return [f"{name}=={found[name]}" for name in NEEDED]


def fill(folder: Path) -> int:
    """Fetch or build every wheel; the bytes of all. Raises SystemExit where they are more than they may be."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wanted = pinned()
    for python in PYTHONS:
        for requirement in wanted:
            if requirement.partition("==")[0] in BUILT_HERE:
                _pip("wheel", requirement, folder)
                continue
            platforms = [word for tag in PLATFORMS for word in ("--platform", tag)]
            _pip("download", requirement, folder, "--only-binary=:all:", "--python-version", python, *platforms)
    size = sum(path.stat().st_size for path in folder.glob("*.whl"))
    if size > MOST_BYTES:
        raise SystemExit(f"gpu-wheels: {size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}")
    return size


def _pip(verb: str, requirement: str, folder: Path, *more: str) -> None:
    where = "--wheel-dir" if verb == "wheel" else "--dest"
    words = [sys.executable, "-m", "pip", verb, "--quiet", "--disable-pip-version-check", "--no-deps", *more]
    if subprocess.run([*words, where, str(folder), requirement], check=False).returncode != 0:
        raise SystemExit(f"gpu-wheels: {requirement}: could not be had")


def main() -> None:
    """Fill the folder and say what it holds."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/gpu-wheels")
    size = fill(folder)
    print(f"{folder}: {len(list(folder.glob('*.whl')))} wheels, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
