"""Enlarge every crop of a crop set into a new one, with the policy stored beside the crops."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from omegaconf import MISSING

from core.files import sha256_bytes, sha256_file, write_bytes
from core.images import decode_image, encode_image
from core.runs import RunConfig, RunFolder
from core.stages import Upscaler
from data.cropset import SET, Crop, CropSet, finish_set, read_crop_set
from data.journal import Done, open_journal, read_journal, work_through
from upscale.build import UpscalerConfig, build_upscaler
from upscale.padding import Pad


@dataclass
class UpscaleConfig(RunConfig):
    """Settings of `upscale.crops`."""

    crops: str = MISSING  # crop set to enlarge
    upscaler: UpscalerConfig = field(default_factory=UpscalerConfig)
    pad: Pad | None = None  # pre-padding rule; null: the upscaler's own
    device: str = "cpu"  # cpu, cuda, cuda:1


def run(config: UpscaleConfig, folder: RunFolder) -> dict[str, Any]:
    """Write the enlarged set; a run that was killed goes on, and crops whose source changed are made anew."""
    if config.pad is not None:
        config.upscaler.pad = config.pad
    upscaler = build_upscaler(config.upscaler, config.device)
    source = read_crop_set(config.crops)
    folder.add_parent(config.crops)
    plan = {"upscaler": upscaler.key, "policy": upscaler.policy}
    finished = read_journal(folder.path, plan)
    workers = _workers(config.device)
    with open_journal(folder.path, plan, SET) as journal:
        done = _enlarge_all(source, upscaler, folder.path, finished, journal, workers)
    digests = {name: digest for entry in done for name, digest in entry.files.items()}
    record = {
        "pad": config.upscaler.pad.value,
        "upscaler": upscaler.policy,
        "policy": upscaler.policy,
        "scale": upscaler.scale,
        "format": "png",
        "digests": {"source": sha256_file(source.folder / SET) if (source.folder / SET).is_file() else None},
    }
    finish_set(folder.path, [_as_png(crop) for crop in source.crops], digests, record)
    return {"num_crops": len(done), "num_reused": sum(d.reused for d in done), "policy": upscaler.policy}


def _workers(device: str) -> int:
    """Threads: on a CPU one crop a core beats several cores a crop, whose small convolutions wait for each other."""
    if device != "cpu":
        return 1
    import torch

    torch.set_num_threads(1)
    return os.cpu_count() or 1


def _as_png(crop: Crop) -> Crop:
    return Crop(str(Path(crop.file_name).with_suffix(".png")), crop.caption, crop.image, crop.index)


def _enlarge_all(
    source: CropSet, upscaler: Upscaler, folder: Path, finished: dict[str, Done], journal: IO[str], workers: int
) -> Sequence[Done]:
    def enlarge(crop: Crop) -> Done:
        data = source.path(crop).read_bytes()
        digest = sha256_bytes(data)
        earlier = finished.get(crop.file_name)
        if earlier is not None and earlier.still_true(folder, digest):
            return Done(earlier.image, earlier.sha256, earlier.files, reused=True)
        enlarged = upscaler.upscale([decode_image(data, str(source.path(crop)))])[0]
        png = encode_image(enlarged, ".png")
        name = _as_png(crop).file_name
        write_bytes(folder / name, png)
        return Done(crop.file_name, digest, {name: sha256_bytes(png)})

    return work_through(source.crops, enlarge, journal, workers, "enlarging crops")


def main(argv: list[str] | None = None) -> None:
    """Run the command `upscale.crops`."""
    from grounder.command import run_command

    run_command("upscale.crops", UpscaleConfig, run, argv)


if __name__ == "__main__":
    main()
