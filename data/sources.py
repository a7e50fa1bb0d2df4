"""Annotations of any form that is known, for every command: read, checked against the images, and written as ours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.counting import count
from core.errors import InputError
from core.files import write_text
from core.listing import image_path
from core.runs import RunFolder
from core.values import AnnotatedImage
from data.captions import read_annotations, write_annotations
from data.formats import described
from data.formats.doubts import doubt_boxes
from data.formats.origins import check_captions
from data.formats.source import Source
from data.formats.taken import Taken
from data.placing import spare_inputs

SHOWN = 20  # faults that are printed; all of them stand in the run folder
FAULTS = "faults.txt"
PARTS = {"valid": "val", "validation": "val"}  # other names for a part


@dataclass(frozen=True)
class Reading:
    """What was read: the form's name, and what was taken and left out."""

    form: str
    taken: Taken


def read_source(source: Source, wanted: str = "auto", look: bool = True) -> Reading:
    """Read a source of any known form and, if wanted, look at its images where their folder is known.

    Raises InputError for a source of no known form, and for one whose structure is broken.
    """
    from data.formats.known import reader_of  # readers open images, which takes a moment to import

    check_captions(source.captions)
    form, reader = reader_of(source, wanted)
    taken: Taken = reader.read(source)
    if not any(taken.parts.values()):
        raise InputError(f"{source.path}: read as {form}, holds no images")
    for part in taken.parts:
        if part not in taken.folders and (folder := _folder_of(source, part, taken.parts[part])) is not None:
            taken.folders[part] = folder
        if look:
            _look(source, part, taken)
    if form != "yolo":  # which looks at its own, before it cuts them
        doubt_boxes(source.path, [image for images in taken.parts.values() for image in images], taken)
    taken.faults = list(dict.fromkeys(taken.faults))
    return Reading(form, taken)


def _folder_of(source: Source, part: str, images: Sequence[AnnotatedImage]) -> Path | None:
    """Where a part's images lie in or beside its source: the first usual place that has the first of them."""
    root = source.path if source.path.is_dir() else source.path.parent
    roots = [root, root.parent] if root.name.lower() == "annotations" else [root]
    inner = (".", "images", f"images/{part}", part, f"{part}/images", "JPEGImages", "images/default")
    places = [root / name for root in roots for name in inner] if images else []
    return next((place for place in places if image_path(place, images[0].image).is_file()), None)


def _look(source: Source, part: str, taken: Taken) -> None:
    """Count a part's images that are not there, and leave out those that are not of the size they were labelled at."""
    folder = source.images or taken.folders.get(part)
    if folder is None:
        return
    missing: list[str] = []
    kept = []
    for image in taken.parts[part]:
        path = _path_of(image.image, folder, taken.folders.get(part))
        if not path.is_file():
            missing.append(image.image)
        elif image.size is not None and (fault := _size_fault(image, path)):
            taken.faults.append(f"{source.path}: image {image.image}: field 'width': {fault}")
            continue
        kept.append(image)
    taken.parts[part] = kept
    names = sorted(dict.fromkeys(missing))
    taken.note(f"images are not in {folder}, first {names[0] if names else ''}", len(names))


def _path_of(image: str, folder: Path, other: Path | None) -> Path:
    """An image's place in the folder that was given, or else in its part's own."""
    path = image_path(folder, image)
    return path if path.is_file() or other is None else image_path(other, image)


def _size_fault(image: AnnotatedImage, path: Path) -> str | None:
    from core.images import image_size
    from data.frames import sizes_differ

    try:
        size = image_size(path)
    except InputError as error:
        return str(error)
    return None if image.size == size else sizes_differ(image, size)


def refuse_faults(reading: Reading, folder: Path, how: str) -> None:
    """Print the faults, write all of them into a file, and raise InputError that names it; nothing without faults.

    how: what a user types to leave them out.
    """
    faults = reading.taken.faults
    if not faults:
        return
    write_faults(faults, folder)
    for fault in faults[:SHOWN] if len(faults) > 1 else []:
        print(InputError(fault))
    raise InputError(f"{faults[0]} ({count(len(faults), 'fault')} in all, listed in {folder / FAULTS}; {how})")


def write_faults(faults: Iterable[str], folder: Path) -> None:
    """Write the faults into a run folder, one a line."""
    write_text(folder / FAULTS, "".join(f"{fault}\n" for fault in faults))


def tell(reading: Reading) -> None:
    """Print the form, a line a part, where the captions came from, and what else is worth a line."""
    taken = reading.taken
    print(f"read as {reading.form}")
    rows = [{key: str(value) for key, value in row.items()} for row in taken.rows()]
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]} if rows else {}
    for row in [dict(zip(widths, widths, strict=True)), *rows]:
        cells = [value.ljust(widths[key]) if key == "part" else value.rjust(widths[key]) for key, value in row.items()]
        print("  ".join(cells))
    origins = ", ".join(f"{number} from {origin}" for origin, number in taken.origins.items() if number)
    if origins:
        print(f"captions: {origins}")
    for what, number in taken.notes.items():
        print(f"{number} {what}")
    for part, folder in taken.folders.items():
        print(f"images of {part}: {folder}")


def is_ours(path: str | Path) -> bool:
    """Whether a source is an annotation file of ours, or nothing that any reader knows but broken JSON at most."""
    source = Source(Path(path))
    if not source.path.is_file():
        return not source.path.exists()
    if source.is_pickle() or source.is_archive():
        return False
    if source.path.suffix.lower() == ".jsonl" or (source.is_text() and described.begins(source)):
        return True
    from data.formats.known import reader_of

    try:
        return reader_of(source)[0] == "described"
    except InputError:
        return source.is_text() or source.path.stat().st_size == 0


def is_known(path: str | Path) -> bool:
    """Whether a source has a form of another tool that is read by content."""
    from data.formats.known import reader_of

    try:
        return not is_ours(path) and bool(reader_of(Source(Path(path))))
    except InputError:
        return False


def settle(config: Any, folder: RunFolder, faults: list[str] | None = None, kept: str = "annotations.jsonl") -> None:
    """Put annotation files in place of the sources that a command's settings name, and say so in its `config.yaml`.

    The settings are `annotations` and `val`, or `truth`; a source of other tools is read into the run folder as
    `annotations.jsonl`, or `kept` (`val_annotations.jsonl`). Of one with several parts `part` says which; where there
    is a setting `val`, the parts `train` and `val` go without saying. Folders of images that a source brings stand in
    for those that are not given. Raises InputError for faults, unless they are collected, and for parts that no setting
    takes.
    """
    has_val, part = hasattr(config, "val"), getattr(config, "part", None)
    if part is not None and not any(getattr(config, name, None) for name in ("annotations", "truth")):
        raise InputError(f"part: {part!r} of what? Give the labels too")
    for name in [name for name in ("annotations", "truth", "val") if getattr(config, name, None) is not None]:
        given = getattr(config, name)
        if is_ours(given):
            _refuse_part(given, part if name != "val" else None)
            continue
        where = "val_images" if name == "val" and getattr(config, "val_images", None) else "images"
        images = getattr(config, where, None)
        reading = _read(given, None if images is None else Path(images), folder, faults)
        wanted = "val" if name == "val" else part or ("train" if has_val else None)
        chosen = _part(given, reading.taken, wanted, part is not None and name != "val", hints=name != "val")
        _put(config, folder, name, given, chosen, reading, "val_annotations.jsonl" if name == "val" else kept)
        used = {chosen}
        if has_val and name == "annotations" and part is None and config.val is None and "val" in reading.taken.parts:
            _put(config, folder, "val", given, "val", reading, "val_annotations.jsonl")
            used.add("val")
        if folder.is_main:
            tell(reading)
            others = [other for other in reading.taken.parts if other not in used]
            if others and part is None:
                print(f"{given}: left out here: {', '.join(others)}; data.read makes a file of each part")


def read_into(given: str, folder: RunFolder, kept: str, part: str | None = None, images: str | None = None) -> str:
    """An annotation file of ours as it is given; a source of other tools as the file `kept` of the run folder."""
    if is_ours(given):
        _refuse_part(given, part)
        return given
    reading = _read(given, None if images is None else Path(images), folder, None)
    spare_inputs(folder.path, [kept], [given])
    folder.add_parent(given)
    write_annotations(folder.path / kept, reading.taken.parts[_part(given, reading.taken, part, part is not None)])
    if folder.is_main:
        tell(reading)
    return str(folder.path / kept)


def _read(given: str, images: Path | None, folder: RunFolder, faults: list[str] | None) -> Reading:
    """A source of another tool; its faults are refused, or added to those that are collected."""
    reading = read_source(Source(Path(given), images=images), look=images is not None)
    if faults is None:
        refuse_faults(reading, folder.path, f"data.read source={given} faulty=skip leaves out what is at fault")
    else:
        faults += reading.taken.faults
    return reading


def _refuse_part(given: str | Path, part: str | None) -> None:
    if part is not None and Path(given).exists():
        raise InputError(f"part: {given} is one file without parts; leave out part={part}")


def _part(given: str, taken: Taken, wanted: str | None, must: bool = False, hints: bool = True) -> str:
    """The part that is wanted, or, unless it must be that one, the only one; InputError where there are others.

    hints: whether the command has a setting `part` that would say it.
    """
    wanted = PARTS.get(wanted or "", wanted)
    if wanted in taken.parts:
        return str(wanted)
    if len(taken.parts) == 1 and not must:
        return next(iter(taken.parts))
    choices = " or ".join(f"part={part}" for part in taken.parts)
    if must:
        raise InputError(f"part: {wanted!r} is no part of {given}; {choices} is")
    takes = f"{choices} takes one of them, and " if hints else ""
    raise InputError(f"{given}: has the parts {', '.join(taken.parts)}; {takes}"
                     f"data.read source={given} makes a file of each")  # fmt: skip


def _put(config: Any, folder: RunFolder, name: str, given: str, part: str, reading: Reading, kept: str) -> None:
    path = folder.path / kept
    spare_inputs(folder.path, [path.name], [given])
    folder.add_parent(given)
    write_annotations(path, reading.taken.parts[part])  # by every process: each reads it next
    places = {name: str(path)}
    where = "val_images" if name == "val" else "images"
    if part in reading.taken.folders and getattr(config, where, "") is None:
        places[where] = str(reading.taken.folders[part])
    for setting, value in places.items():
        setattr(config, setting, value)
        folder.restate(setting, value)


def read_any(given: str | Path, part: str | None = None) -> list[AnnotatedImage]:
    """The images of a source of any known form, without writing anything; InputError for faults and several parts."""
    if is_ours(given):
        _refuse_part(given, part)
        return read_annotations(given)
    taken = read_source(Source(Path(given)), look=False).taken
    if taken.faults:
        raise InputError(taken.faults[0])
    return taken.parts[_part(str(given), taken, part, part is not None, hints=False)]
