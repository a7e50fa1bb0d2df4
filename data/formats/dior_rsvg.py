"""DIOR-RSVG: a folder with `Annotations/*.xml` (Pascal VOC with a description) and `train.txt`, `val.txt`, `test.txt`.

The text files hold **running numbers of objects** over all XML files in the order of their names, so one missing file
shifts every number after it: that is refused. A number becomes the `id` of its entry. Boxes are whole pixels, left,
top, right, bottom. The split is by object, so the parts share images; `data.check` calls each a leak.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from core.errors import InputError
from core.files import read_text
from core.values import Annotation
from data.formats.source import Source
from data.formats.taken import Gathering, Taken, text_of

ABOUT = "DIOR-RSVG: a folder with Annotations/*.xml and train.txt, val.txt, test.txt of running numbers"
PARTS = ("train", "val", "test")
SIDES = ("xmin", "ymin", "xmax", "ymax")


def recognises(source: Source) -> bool:
    """Whether the folder holds XML files whose objects have descriptions, and at least one list of numbers."""
    folder = source.path / "Annotations"
    first = next(iter(sorted(folder.glob("*.xml"))), None) if folder.is_dir() else None
    return first is not None and bool(_lists(source)) and b"<description>" in first.read_bytes()


def read(source: Source) -> Taken:
    """The parts that have a list; InputError for broken XML and for numbers that do not fit the objects."""
    taken = Taken()
    numbers = {part: _numbers(path) for part, path in _lists(source).items()}
    objects = list(_objects(source))
    _require_fit(source, numbers, len(objects))
    for part, wanted in numbers.items():
        gathering = Gathering(taken)
        for number in sorted(wanted):
            place, image, element = objects[number]
            _add(gathering, taken, place, image, number, element)
        taken.parts[part] = gathering.images(str(source.path / f"{part}.txt"))
    shared = {i.image for i in taken.parts.get("train", [])} & {i.image for i in taken.parts.get("test", [])}
    taken.note("images of train are in test too, as published: the split is by object", len(shared))
    return taken


def _lists(source: Source) -> dict[str, Path]:
    found = {part: source.path / f"{part}.txt" for part in PARTS}
    return {part: path for part, path in found.items() if path.is_file()}


def _numbers(path: Path) -> set[int]:
    found: set[int] = set()
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        if text.strip():
            if not text.strip().isdecimal():
                raise InputError(f"{path} line {line}: not the running number of an object: {text.strip()[:40]!r}")
            found.add(int(text))
    return found


def _require_fit(source: Source, numbers: dict[str, set[int]], num_objects: int) -> None:
    named = set().union(*numbers.values())
    highest = max(named, default=-1)
    misses = len(numbers) == len(PARTS) and named != set(range(num_objects))
    if highest >= num_objects or misses:
        raise InputError(
            f"{source.path}: the lists name {len(named)} objects, the last is number {highest}, but the XML files hold "
            f"{num_objects}; a missing or further file shifts every number after it"
        )


def _objects(source: Source) -> Iterator[tuple[str, str, ElementTree.Element]]:
    """(place, image, element) of every object, file after file by name."""
    for path in sorted((source.path / "Annotations").glob("*.xml")):
        try:
            root = ElementTree.parse(path).getroot()
        except ElementTree.ParseError as error:
            raise InputError(f"{path}: not valid XML: {error}") from error
        image = text_of(root.findtext("filename"), str(path), "filename").strip()
        for number, element in enumerate(root.findall("object")):
            yield f"{path}: field 'object[{number}]", image, element


def _add(gathering: Gathering, taken: Taken, place: str, image: str, number: int, element: ElementTree.Element) -> None:
    texts = [element.findtext(f"bndbox/{side}") for side in SIDES]
    try:
        left, top, right, bottom = (int(float(text or "")) for text in texts)
    except ValueError:
        taken.faults.append(f"{place}.bndbox': not four numbers but {texts}")
        return
    good = gathering.good([(left, top, right - left, bottom - top)], [f"{place}.bndbox'"], None)
    if good:
        caption = text_of(element.findtext("description"), place.partition(": field")[0], "description").strip()
        kind = (element.findtext("name") or "").strip()
        tags = (("class", kind),) if kind else ()
        taken.from_where("description")
        gathering.add(image, place, Annotation(caption, tuple(good), str(number), tags))
