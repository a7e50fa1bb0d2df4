"""What merging does: annotation files line by line, crop sets crop by crop."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from core.counting import count
from core.errors import InputError
from core.files import sha256_file, write_json
from core.progress import progress
from data.captions import place, read_annotations, read_lines, write_lines
from data.crops.earlier import clear_set
from data.cropset import SET, Crop, CropSet, finish_set, read_crop_set, read_digests, verify_set
from data.frames import find_image
from data.journal import open_journal
from data.merge.names import Collisions, refuse_collisions
from data.merge.settings import MergeConfig
from data.placing import put_file

MARK = "merge.json"


def merge_annotations(config: MergeConfig, names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Write `annotations.jsonl`, with `images/` when folders of images are given; lines are kept byte for byte."""
    folders = _image_folders(config)
    lines: list[str] = []
    images: list[tuple[str, Path]] = []
    parts: list[list[str]] = []
    num_boxes = 0
    for number, (name, source) in enumerate(zip(names, config.sets, strict=True)):
        annotated = read_annotations(source)
        renamed = config.collisions is Collisions.rename
        new_names = [_prefixed(name, image.image) if renamed else image.image for image in annotated]
        own_lines = read_lines(source)
        lines += [_with_name(*pair) for pair in zip(own_lines, new_names, strict=True)] if renamed else own_lines
        parts.append(new_names)
        num_boxes += sum(len(image.targets) for image in annotated)
        if folders:
            found = [find_image(folders[number], image.image, place(source, image.line)) for image in annotated]
            images += zip(new_names, found, strict=True)
    refuse_collisions(names, parts, "image names")
    if folders:
        _clear_images(folder)
    sources = [{"name": n, "sha256": sha256_file(s)} for n, s in zip(names, config.sets, strict=True)]
    write_json(folder / MARK, {"sets": sources})
    for image, path in progress(images, "images"):
        put_file(path, folder / "images" / image, config.place)
    write_lines(folder / "annotations.jsonl", lines)
    return {"num_sets": len(names), "num_images": len(lines), "num_boxes": num_boxes}


def _image_folders(config: MergeConfig) -> list[str]:
    if config.images is None:
        return []
    if len(config.images) not in (1, len(config.sets)):
        raise InputError(
            f"images: {count(len(config.images), 'folder')} for {count(len(config.sets), 'set')}; "
            "give one for each, or one"
        )
    return config.images * len(config.sets) if len(config.images) == 1 else config.images


def _clear_images(folder: Path) -> None:
    """Remove the images of an earlier merge; InputError when the folder's images are somebody else's."""
    images = folder / "images"
    if images.exists() and not (folder / MARK).is_file():
        raise InputError(f"{images}: field 'run_dir': exists and is no merge of ours; name another folder")
    shutil.rmtree(images, ignore_errors=True)


def _prefixed(name: str, file: str) -> str:
    """`sub/a.png` of set `xs` -> `sub/xs-a.png`."""
    path = PurePosixPath(file)
    return str(path.with_name(f"{name}-{path.name}"))


def _with_name(line: str, image: str) -> str:
    return json.dumps({**json.loads(line), "image": image}, ensure_ascii=False)


def merge_crops(config: MergeConfig, names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Write one crop set of several, each checked against its digests first; `set.json` names what it came from."""
    sets = [read_crop_set(path) for path in config.sets]
    for crop_set in sets:
        verify_set(crop_set)
    made = _agreement(config, names, sets)
    renamed = config.collisions is Collisions.rename
    parts = [[_renamed(c, n) if renamed else c for c in s.crops] for n, s in zip(names, sets, strict=True)]
    refuse_collisions(names, [[crop.file_name for crop in part] for part in parts], "crops")
    refuse_collisions(names, [dict.fromkeys(crop.image for crop in part) for part in parts], "image names")
    merged = [{"name": n, "num_crops": len(s.crops), **_digests(s)} for n, s in zip(names, sets, strict=True)]
    clear_set(folder, [crop.file_name for part in parts for crop in part])
    sha256: dict[str, str] = {}
    with open_journal(folder, {"merged": merged}, SET):  # until it is finished, no reader takes the folder for a set
        for crop_set, part in zip(sets, parts, strict=True):
            known = read_digests(crop_set.folder)
            for old, new in progress(list(zip(crop_set.crops, part, strict=True)), "merging"):
                put_file(crop_set.path(old), folder / new.file_name, config.place)
                sha256[new.file_name] = known.get(old.file_name) or sha256_file(crop_set.path(old))
    crops = [crop for part in parts for crop in part]
    finish_set(folder, crops, sha256, {**made, "merged": merged})
    twice = len(crops) - len({(sha256[crop.file_name], crop.caption) for crop in crops})
    captions = len({crop.caption for crop in crops})
    return {
        "num_sets": len(sets),
        "num_crops": len(crops),
        "num_captions": captions,
        "num_same_crop_and_caption": twice,
    }


def _renamed(crop: Crop, name: str) -> Crop:
    return replace(crop, file_name=_prefixed(name, crop.file_name), image=_prefixed(name, crop.image))


def _digests(crop_set: CropSet) -> dict[str, Any]:
    return {"digests": crop_set.record["digests"]} if "digests" in crop_set.record else {}


def _agreement(config: MergeConfig, names: Sequence[str], sets: Sequence[CropSet]) -> dict[str, Any]:
    """How the crops of all sets were made; InputError where they differ, unless that is allowed."""
    made: dict[str, Any] = {}
    for key, default in (("pad", "none"), ("upscaler", None), ("scale", 1)):
        values = [crop_set.record.get(key, default) for crop_set in sets]
        other = next((i for i, value in enumerate(values) if value != values[0]), None)
        if other is not None and not config.allow_mixed:
            raise InputError(
                f"sets: field '{key}': {values[0]!r} in {names[0]} but {values[other]!r} in {names[other]}; "
                "allow_mixed=true merges them all the same"
            )
        made[key] = values[0] if other is None else "mixed"
    return made
