"""Enlarge every crop of a crop set into a new one, with the policy stored beside the crops."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from omegaconf import MISSING

from core.files import read_bytes, sha256_bytes, sha256_file, write_bytes
from core.images import decode_image, encode_image
from core.runs import RunConfig, RunFolder
from core.stages import Image, Upscaler
from core.weights import WeightsConfig
from data.cropset import SET, Crop, CropSet, finish_set, read_crop_set
from data.journal import Done, open_journal, read_journal, work_through
from upscale.build import build_upscaler
from upscale.padding import Pad
from upscale.settings import UpscalerConfig


@dataclass
class UpscaleConfig(WeightsConfig, RunConfig):
    """Settings of `upscale.crops`."""

    crops: str = MISSING  # crop set to enlarge
    upscaler: UpscalerConfig = field(default_factory=UpscalerConfig)
    pad: Pad | None = None  # pre-padding rule: none, 1, 10, published, older; null: the upscaler's own
    device: str = "cpu"  # cpu, cuda, cuda:1
    together: int = 256  # crops decoded ahead, to share canvases where the upscaler batches


def run(config: UpscaleConfig, folder: RunFolder) -> dict[str, Any]:
    """Write the enlarged set; a run that was killed goes on, and crops whose source changed are made anew."""
    if config.pad is not None:
        config.upscaler.pad = config.pad
    upscaler = build_upscaler(config.upscaler, config.device)
    source = read_crop_set(config.crops)
    folder.add_parent(config.crops)
    plan = {"upscaler": upscaler.key, "policy": upscaler.policy}
    finished = read_journal(folder.path, plan)
    workers = _workers(config.device, upscaler.batched)
    with open_journal(folder.path, plan, SET) as journal:
        enlarged = Ahead(source, upscaler, finished, config.together if upscaler.batched else 1)
        done = _enlarge_all(source, enlarged, folder.path, finished, journal, workers)
    digests = {name: digest for entry in done for name, digest in entry.files.items()}
    record = {
        "pad": config.upscaler.pad.name,
        "upscaler": upscaler.policy,
        "scale": upscaler.scale,
        "largest_pixels": config.upscaler.largest_pixels,
        "precision": config.upscaler.precision.name,
        "format": "png",
        "digests": {"source": sha256_file(source.folder / SET) if (source.folder / SET).is_file() else None},
    }
    finish_set(folder.path, [_as_png(crop) for crop in source.crops], digests, record)
    return {"num_crops": len(done), "num_reused": sum(d.reused for d in done), "policy": upscaler.policy}


def _workers(device: str, batched: bool) -> int:
    """Threads: on a CPU one crop a core beats several cores a crop, whose small convolutions wait for each other."""
    if device != "cpu" or batched:
        return 1
    import torch

    torch.set_num_threads(1)
    return os.cpu_count() or 1


def _as_png(crop: Crop) -> Crop:
    return replace(crop, file_name=str(Path(crop.file_name).with_suffix(".png")))


class Ahead:
    """Enlarged crops in the set's order, made `together` at a time (1: each when it is asked for, from any thread)."""

    def __init__(self, source: CropSet, upscaler: Upscaler, finished: Mapping[str, Done], together: int) -> None:
        self._source, self._upscaler, self._together = source, upscaler, together
        self._places = {crop.file_name: place for place, crop in enumerate(source.crops)}
        self._finished = finished
        self._made: dict[str, Image] = {}

    def enlarged(self, crop: Crop, data: bytes) -> Image:
        """The enlarged crop whose file holds `data`."""
        if self._together == 1:
            return self._upscaler.upscale([self._decode(crop, data)])[0]
        if crop.file_name not in self._made:
            self._make(crop, data)
        return self._made.pop(crop.file_name)

    def _make(self, crop: Crop, data: bytes) -> None:
        place = self._places[crop.file_name]
        later = [
            c
            for c in self._source.crops[place + 1 :]
            if c.file_name not in self._finished and c.file_name not in self._made
        ]
        crops = [crop, *later[: self._together - 1]]
        images = [self._decode(crop, data), *(self._decode(c, read_bytes(self._source.path(c))) for c in crops[1:])]
        made = self._upscaler.upscale(images)
        self._made |= {c.file_name: image for c, image in zip(crops, made, strict=True)}

    def _decode(self, crop: Crop, data: bytes) -> Image:
        return decode_image(data, str(self._source.path(crop)))


def _enlarge_all(
    source: CropSet, ahead: Ahead, folder: Path, finished: Mapping[str, Done], journal: IO[str], workers: int
) -> Sequence[Done]:
    def enlarge(crop: Crop) -> Done:
        data = read_bytes(source.path(crop))
        digest = sha256_bytes(data)
        earlier = finished.get(crop.file_name)
        if earlier is not None and earlier.still_true(folder, digest):
            return Done(earlier.image, earlier.sha256, earlier.files, reused=True)
        png = encode_image(ahead.enlarged(crop, data), ".png")
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
