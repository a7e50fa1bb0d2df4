"""Merge crop sets, or annotation files with their images, into one."""

from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import read_json
from core.runs import RunFolder
from data.captions import is_json_list
from data.merge.names import set_names
from data.merge.settings import MergeConfig
from data.placing import spare_inputs


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
    return (merge_annotations if kinds[0] else merge_crops)(config, names, folder.path)


def _is_annotation_file(path: Path) -> bool:
    if path.is_dir():
        return False
    if not is_json_list(path):
        return True
    entries = read_json(path)
    return not (entries and isinstance(entries[0], dict) and "label" in entries[0])


def main(argv: list[str] | None = None) -> None:
    """Run the command `data.merge`."""
    from grounder.command import run_command

    run_command("data.merge", MergeConfig, run, argv)
