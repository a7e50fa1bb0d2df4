"""Copy a set with noise of a grade on every image: Gaussian, sensor, JPEG, blur, low resolution."""

import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.files import sha256_bytes, sha256_file, write_json
from core.runs import RunFolder
from data.noise.settings import NoiseConfig

if TYPE_CHECKING:
    from data.journal import Done
    from data.noise.grades import Grade, Image

MARK = "noise.json"


@dataclass(frozen=True)
class Job:
    """One image to spoil: its name, its file, and how messages name its entry."""

    image: str
    path: Path
    where: str


def run(config: NoiseConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `images/` under the same names, `annotations.jsonl` and `noise.json`; goes on after a kill.

    JPEG names are written at quality 100 without colour subsampling, so that the format adds no more than the rounding
    to whole levels does; PNG and other formats are exact. Returns counts.
    """
    from data.captions import read_lines, write_lines
    from data.journal import JOURNAL, open_journal, work_through
    from data.noise.grades import parse_grade
    from data.placing import spare_inputs
    from data.sources import settle

    grade = parse_grade(config.grade)
    if config.workers < 1:
        raise InputError(f"workers: {config.workers} is not at least 1")
    spare_inputs(folder.path, ["annotations.jsonl"], [config.annotations])
    settle(config, folder, kept="given.jsonl")
    jobs = _jobs(config)
    folder.add_parent(config.annotations)
    plan = {"grade": grade.name, "seed": config.seed}
    earlier = _earlier(folder.path, plan)
    with open_journal(folder.path, plan, MARK) as journal:
        spoil = partial(_spoil, grade, config.seed, folder.path, earlier)
        done = work_through(jobs, spoil, journal, config.workers, grade.name)
    write_lines(folder.path / "annotations.jsonl", read_lines(config.annotations))
    digests = {"annotations": sha256_file(config.annotations), "images": {d.image: d.sha256 for d in done}}
    write_json(folder.path / MARK, {**plan, "kind": grade.kind, "level": grade.level, "digests": digests})
    (folder.path / JOURNAL).unlink()
    return {"grade": grade.name, "num_images": len(done), "num_reused_images": sum(d.reused for d in done)}


def _jobs(config: NoiseConfig) -> list[Job]:
    from data.captions import place, read_captions
    from data.frames import find_image

    entries = [(e.image, place(config.annotations, e.line)) for e in read_captions(config.annotations)]
    return [Job(image, find_image(config.images, image, where), where) for image, where in entries]


def _earlier(folder: Path, plan: dict[str, Any]) -> "dict[str, Done]":
    """What an unfinished run of the same plan did; the images of another plan are removed, those not ours refused."""
    from data.journal import JOURNAL, read_journal

    images = folder / "images"
    if images.exists() and not any((folder / name).is_file() for name in (MARK, JOURNAL)):
        raise InputError(f"{images}: field 'run_dir': exists and is no copy of ours; name another folder")
    earlier = read_journal(folder, plan)
    if not earlier:
        shutil.rmtree(images, ignore_errors=True)
    return earlier


def _spoil(grade: "Grade", seed: int, folder: Path, earlier: "Mapping[str, Done]", job: Job) -> "Done":
    """Write one image's noisy copy, unless the image and the copy are those of the earlier run."""
    from core.images import decode_image
    from data.journal import Done
    from data.noise.grades import apply_grade
    from data.placing import write_plain

    name = f"images/{job.image}"
    before = earlier.get(job.image)
    try:
        data = job.path.read_bytes()
        digest = sha256_bytes(data)
        if before is not None and before.still_true(folder, digest):
            return Done(job.image, digest, before.files, reused=True)
        image = decode_image(data, str(job.path))
    except (InputError, OSError) as error:
        raise InputError(f"{job.where}: field 'image': {error}") from error
    encoded = data if grade.kind == "clean" else encode_best(apply_grade(image, grade, seed), job.path.suffix)
    write_plain(folder / name, encoded)
    return Done(job.image, digest, {name: sha256_bytes(encoded)})


def encode_best(image: "Image", suffix: str) -> bytes:
    """An (H, W, 3) RGB image in the format of `suffix`, as true as the format can be."""
    from core.images import encode_image

    lossy = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(suffix.lower())
    if lossy is None:
        return encode_image(image, suffix)
    from PIL import Image as PillowImage

    stream = io.BytesIO()
    PillowImage.fromarray(image).save(stream, lossy, quality=100, subsampling=0, lossless=True)
    return stream.getvalue()


def main(argv: list[str] | None = None) -> None:
    """Run the command `data.noise`."""
    from grounder.command import run_command

    run_command("data.noise", NoiseConfig, run, argv)
