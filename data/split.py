"""Split an annotation file into train.jsonl and val.jsonl, opening no image."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from core.errors import InputError
from core.files import sha256_file
from core.runs import RunConfig, RunFolder
from data.captions import read_annotations, read_lines, write_lines
from data.formats.source import PartConfig
from data.placing import spare_inputs
from data.sources import settle


@dataclass
class SplitConfig(PartConfig, RunConfig):
    """Settings of `data.split`."""

    annotations: str = MISSING  # caption JSONL or JSON list, or labels of another tool
    val_fraction: float = 0.2  # int(fraction * images) go to validation; 0 trains on everything
    seed: int | None = None  # none: the last lines, as published; a number: images chosen by it


def val_places(names: Sequence[str], val_fraction: float, seed: int | None = None) -> list[int]:
    """The 0-based places of the validation images, ascending: int(val_fraction * n) of them.

    Without a seed the last ones, as published. With one, those whose names hash lowest, so the choice does not depend
    on the order of the file, on a library's random stream, or, for most images, on what else is in the file.
    """
    num_val = int(val_fraction * len(names))
    if seed is None:
        return list(range(len(names) - num_val, len(names)))
    rank = sorted(range(len(names)), key=lambda i: hashlib.sha256(f"{seed}\0{names[i]}".encode()).digest())
    return sorted(rank[:num_val])


def run(config: SplitConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `train.jsonl` and `val.jsonl`; whatever else an entry holds is kept.

    Returns the counts of images and captions of both. Raises InputError for a bad file, or a fraction that leaves a
    side without images.
    """
    if not 0 <= config.val_fraction < 1:
        raise InputError(f"val_fraction: {config.val_fraction} is not at least 0 and below 1")
    spare_inputs(folder.path, ["train.jsonl", "val.jsonl"], [config.annotations])
    settle(config, folder)
    images = read_annotations(config.annotations)
    lines = read_lines(config.annotations)
    chosen = set(val_places([image.image for image in images], config.val_fraction, config.seed))
    if not images or (config.val_fraction > 0 and not chosen):
        raise InputError(f"val_fraction: {config.val_fraction} of {len(images)} images leaves none for validation")
    folder.add_parent(config.annotations)
    metrics: dict[str, Any] = {}
    for part, wanted in (("train", False), ("val", True)):
        places = [i for i in range(len(images)) if (i in chosen) is wanted]
        write_lines(folder.path / f"{part}.jsonl", [lines[i] for i in places])
        metrics[f"num_{part}"] = len(places)
        metrics[f"num_{part}_captions"] = sum(len(images[i].annotations) for i in places)
    metrics["annotations_sha256"] = sha256_file(config.annotations)
    return metrics


def main(argv: list[str] | None = None) -> None:
    """Run the command `data.split`."""
    from grounder.command import run_command

    run_command("data.split", SplitConfig, run, argv)


if __name__ == "__main__":
    main()
