"""Crop sets on disk: an imagefolder that `datasets` loads, with what it was made from.

    STEM_INDEX.png    a target with one of its captions (JPEG by setting)
    metadata.jsonl    one line a crop: image, index, caption, source, file_name; target, where captions share targets
    crops.sha256      the crops' digests, as sha256sum writes and checks them
    README.md         tells `datasets` that all of it is one split, whatever words the images' names hold
    set.json          pad policy, upscaler, counts and digests; written last

The published index, a JSON list of `{"image": CROP, "label": CAPTION}`, is read and written too.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from core.errors import InputError
from core.files import open_atomic, read_json, read_jsonl, read_text, sha256_file, write_json, write_text
from data.journal import JOURNAL

SET, METADATA, DIGESTS, CARD, INDEX = "set.json", "metadata.jsonl", "crops.sha256", "README.md", "index.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Crop:
    """One crop: its file below the set's folder, its caption, and what it shows.

    index: counts the image's pairs of caption and target. target: counts its targets; None where each has one caption,
    so that no two crops of the image show the same.
    """

    file_name: str
    caption: str
    image: str
    index: int
    target: int | None = None


@dataclass(frozen=True)
class CropSet:
    """A crop set: where its files are, its crops in order, and its `set.json` (empty for a set from elsewhere)."""

    folder: Path
    crops: tuple[Crop, ...]
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def policy(self) -> str:
        """How the crops were enlarged; sets of earlier versions say it a second time, as `policy`."""
        return str(self.record.get("policy") or self.record.get("upscaler") or "none")

    def path(self, crop: Crop) -> Path:
        """The crop's file."""
        return self.folder / crop.file_name


def crop_name(image: str, index: int, suffix: str) -> str:
    """The file name of an image's annotation number `index`: `{stem}_{index}{suffix}`, in the image's own subfolder."""
    return f"{PurePosixPath(image).with_suffix('')}_{index}{suffix}"


def read_crop_set(path: str | os.PathLike[str]) -> CropSet:
    """A crop set from its folder, or from a published index file (or the folder that holds just one).

    Raises InputError naming file, line and field; for a set that was never finished too. Images are not opened.
    """
    path = Path(path)
    if path.is_file():
        return _read_index(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such crop set")
    if (path / METADATA).is_file() and ((path / SET).is_file() or not (path / JOURNAL).is_file()):
        record = read_json(path / SET) if (path / SET).is_file() else {}
        if not isinstance(record, dict):
            raise InputError(f"{path / SET}: not an object")
        return CropSet(path, _read_metadata(path / METADATA), record)
    if (path / JOURNAL).is_file():
        raise InputError(f"{path}: this crop set was never finished; the command that began it goes on from there")
    indexes = [p for p in path.glob("*.json") if _looks_like_index(p)]
    if len(indexes) != 1:
        raise InputError(f"{path}: holds neither {METADATA} nor one published index")
    return _read_index(indexes[0])


def _read_metadata(path: Path) -> tuple[Crop, ...]:
    crops = []
    for line, value in read_jsonl(path):
        where = f"{path} line {line}"
        name = _text(value, ("file_name",), where)
        caption = _text(value, ("caption", "label", "text"), where)
        stem, index = _parts(name)
        image, number = value.get("image", value.get("source", stem)), value.get("index", index)
        if not isinstance(image, str) or isinstance(number, bool) or not isinstance(number, int):
            raise InputError(f"{where}: field 'image' or 'index': not the image's name and a number")
        target = value.get("target")
        if target is not None and (isinstance(target, bool) or not isinstance(target, int)):
            raise InputError(f"{where}: field 'target': not a number")
        crops.append(Crop(name, caption, image, number, target))
    return _refuse_repeats(path, crops)


def _read_index(path: Path) -> CropSet:
    entries = read_json(path)
    if not isinstance(entries, list):
        raise InputError(f"{path}: not a list of {{'image', 'label'}}")
    crops = []
    for number, value in enumerate(entries, start=1):
        where = f"{path} line {number}"
        name, caption = _text(value, ("image",), where), _text(value, ("label",), where)
        stem, index = _parts(name)
        crops.append(Crop(name, caption, f"{stem}{PurePosixPath(name).suffix}", index))
    folder = path.parent / path.stem  # the published index lies beside a folder of its own name
    return CropSet(folder if folder.is_dir() else path.parent, _refuse_repeats(path, crops), {})


def _looks_like_index(path: Path) -> bool:
    return read_text(path).lstrip()[:1] == "[" and path.name != METADATA


def _text(value: Any, keys: Sequence[str], where: str) -> str:
    text = next((value[k] for k in keys if k in value), None) if isinstance(value, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: field '{keys[0]}': missing or not a text")
    if keys[0] in {"file_name", "image"} and (text.startswith("/") or ".." in text.split("/")):
        raise InputError(f"{where}: field '{keys[0]}': {text!r} leads out of the crop set")
    return text


def _parts(file_name: str) -> tuple[str, int]:
    """The stem and the index that a crop's name holds; index 0 where it holds none."""
    stem, _, number = str(PurePosixPath(file_name).with_suffix("")).rpartition("_")
    return (stem, int(number)) if stem and number.isdecimal() else (str(PurePosixPath(file_name).with_suffix("")), 0)


def _refuse_repeats(path: Path, crops: Sequence[Crop]) -> tuple[Crop, ...]:
    seen: set[str] = set()
    for crop in crops:
        if crop.file_name in seen:
            raise InputError(f"{path}: field 'file_name': {crop.file_name!r} is listed twice")
        seen.add(crop.file_name)
    return tuple(crops)


def metadata_line(crop: Crop) -> str:
    """A crop's line of `metadata.jsonl`.

    `file_name` comes after `image` on purpose: `datasets` calls the decoded image `image`, and of two columns of one
    name the later wins. `source` is the image's name under a name that survives there.
    """
    fields = {"image": crop.image, "index": crop.index, "caption": crop.caption, "source": crop.image}
    target = {} if crop.target is None else {"target": crop.target}
    return json.dumps({**fields, **target, "file_name": crop.file_name}, ensure_ascii=False)


def finish_set(folder: Path, crops: Sequence[Crop], sha256: Mapping[str, str], record: Mapping[str, Any]) -> None:
    """Write everything of a crop set but the crops, `set.json` last.

    sha256: the digest of each crop's file by its name. record: what `set.json` says beside counts and digests; must
    hold `pad` and `upscaler`, may hold `digests` of its own.
    """
    missing = [key for key in ("pad", "upscaler") if key not in record]
    if missing:
        raise ValueError(f"the record of a crop set needs {missing}")
    _refuse_repeats(folder / METADATA, crops)
    with open_atomic(folder / METADATA, "w") as stream:
        stream.writelines(f"{metadata_line(crop)}\n" for crop in crops)
    with open_atomic(folder / DIGESTS, "w") as stream:
        stream.writelines(f"{sha256[crop.file_name]}  {crop.file_name}\n" for crop in crops)
    write_text(folder / CARD, _card(crops))
    own = {"metadata": sha256_file(folder / METADATA), "crops": sha256_file(folder / DIGESTS)}
    digests = {**record.get("digests", {}), **own}
    counts = {"num_crops": len(crops), "num_captions": len({crop.caption for crop in crops})}
    write_json(folder / SET, {"version": VERSION, **counts, **record, "digests": digests})
    (folder / JOURNAL).unlink(missing_ok=True)


def _card(crops: Sequence[Crop]) -> str:
    """A data set card; `datasets` would else sort images whose names hold "train", "val" or "test" into splits."""
    suffixes = sorted({PurePosixPath(crop.file_name).suffix for crop in crops})
    files = json.dumps([METADATA, *(f"**/*{suffix}" for suffix in suffixes)])
    splits = f"configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: {files}\n"
    return f"---\n{splits}---\n\nCrops of annotated objects with their captions; `set.json` says how they were made.\n"


def read_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each crop by its name, from `crops.sha256`; empty for a set without it."""
    path = folder / DIGESTS
    if not path.is_file():
        return {}
    pairs = (line.partition("  ") for line in read_text(path).split("\n") if line)
    return {name: digest for digest, _, name in pairs}


def verify_set(crop_set: CropSet) -> None:
    """Check a crop set's files against its digests; InputError names the first that is missing or changed."""
    expected = crop_set.record.get("digests", {})
    for key, name in (("metadata", METADATA), ("crops", DIGESTS)):
        if key in expected and sha256_file(crop_set.folder / name) != expected[key]:
            raise InputError(f"{crop_set.folder / name}: its content differs from the digest in {SET}")
    digests = read_digests(crop_set.folder)
    for crop in crop_set.crops:
        path = crop_set.path(crop)
        if not path.is_file():
            raise InputError(f"{path}: missing, though the crop set lists it")
        if digests and sha256_file(path) != digests.get(crop.file_name):
            raise InputError(f"{path}: its content differs from its digest in {DIGESTS}")


def write_index(path: str | os.PathLike[str], crops: Sequence[Crop]) -> None:
    """Write the published index: a JSON list of `{"image": CROP, "label": CAPTION}`."""
    write_json(path, [{"image": crop.file_name, "label": crop.caption} for crop in crops])
