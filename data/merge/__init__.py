"""Merge crop sets, or annotation files with their images, into one."""

from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import read_json
from core.runs import RunFolder
from data.captions import is_json_list
from data.cropset import METADATA
from data.merge.names import set_names
from data.merge.settings import MergeConfig
from data.placing import spare_inputs
from data.sources import is_known, is_ours, read_into


def run(config: MergeConfig, folder: RunFolder) -> dict[str, Any]:
    """Write the merged set into the run folder; returns counts.

    Raises InputError before anything is written: a name in two sets (the first ones and how many), sets of two kinds,
    damaged crop sets, crop sets made in different ways, missing images.
    """
    from data.merge.sets import merge_annotations, merge_crops

    if len(config.sets) < 2:
        raise InputError(f"sets: {len(config.sets)} given, two or more are needed: sets=[A,B]")
    kinds = [_is_annotation_file(Path(path)) for path in config.sets]
    if len(set(kinds)) > 1:
        other = config.sets[kinds.index(not kinds[0])]
        raise InputError(f"sets: {config.sets[0]} and {other} are a crop set and an annotation file; merge one kind")
    if config.images is not None and not kinds[0]:
        raise InputError("images: crop sets hold their own images; leave this out")
    names = set_names(config.sets, config.names)
    spare_inputs(folder.path, ["", "annotations.jsonl"], config.sets)
    for path in config.sets:
        folder.add_parent(path)
    if kinds[0]:
        config.sets = _read_labels(config, names, folder)
    return (merge_annotations if kinds[0] else merge_crops)(config, names, folder.path)


def _read_labels(config: MergeConfig, names: list[str], folder: RunFolder) -> list[str]:
    """Annotation files of ours; labels of other tools are read into the run folder, as `labels_NAME.jsonl`."""
    folders: list[str | None] = list(config.images) if config.images else [None]
    images = folders * len(names) if len(folders) == 1 else folders
    return [path if is_ours(path) else read_into(path, folder, f"labels_{name}.jsonl", config.part, image)
            for path, name, image in zip(config.sets, names, images, strict=False)]  # fmt: skip


def _is_annotation_file(path: Path) -> bool:
    if path.is_dir():
        return not (path / METADATA).is_file() and is_known(path)
    if is_known(path) or not is_json_list(path):
        return True
    entries = read_json(path)
    return not (entries and isinstance(entries[0], dict) and "label" in entries[0])


def main(argv: list[str] | None = None) -> None:
    """Run the command `data.merge`."""
    from grounder.command import run_command

    run_command("data.merge", MergeConfig, run, argv)
