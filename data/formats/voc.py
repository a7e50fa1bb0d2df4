"""Pascal VOC: an XML file for every image, in a folder, in `Annotations/` with lists of parts, or in folders of parts.

The format counts pixels from 1 and its corners lie within the box, so a box from 1 to 10 is 10 px wide. Many tools
write corners counted from 0 all the same: a corner of 0 or of fractions gives such a source away, and
`corners=zero_based` says it where nothing does. The captions are an object's `caption`, one of its attributes, or its
name.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from core.errors import InputError
from core.files import read_text
from core.values import Annotation
from data.formats.origins import captions_of
from data.formats.source import Corners, Source
from data.formats.taken import Gathering, Taken, size_of, whole

ABOUT = "Pascal VOC: XML files of 'annotation' with 'object' elements, in a folder or in folders of parts"
FOLDERS = {"train": "train", "valid": "val", "val": "val", "test": "test"}
SIDES = ("xmin", "ymin", "xmax", "ymax")
TEXTS = ("caption", "description", "expression")


def recognises(source: Source) -> bool:
    """Whether the first XML file has an annotation in it."""
    first = next((path for paths in _parts(source).values() for path in paths), None)
    return first is not None and b"<annotation>" in first.read_bytes()[:4096]


def read(source: Source) -> Taken:
    """Every image of every part; InputError for broken XML and for a part that names a file that is not there."""
    taken = Taken()
    parts = {part: [(path, _root(path)) for path in paths] for part, paths in _parts(source).items()}
    first = _first_pixel(source, [root for roots in parts.values() for _, root in roots], taken)
    for part, roots in parts.items():
        gathering = Gathering(taken, source)
        for path, root in roots:
            _add_image(gathering, path, root, first, source, taken)
        taken.parts[part if len(parts) > 1 else "annotations"] = gathering.images(str(source.path))
    return taken


def _parts(source: Source) -> dict[str, list[Path]]:
    """The XML files of each part."""
    if source.path.is_file():
        return {"annotations": [source.path]} if source.path.suffix.lower() == ".xml" else {}
    lists = sorted((source.path / "ImageSets" / "Main").glob("*.txt"))
    inner = source.path / "Annotations"
    known = {path.stem: _listed(path, inner) for path in lists if path.stem in FOLDERS}
    if known and inner.is_dir():
        return known
    folders = {part: sorted((source.path / name).glob("*.xml")) for name, part in FOLDERS.items()}
    if any(folders.values()):
        return {part: paths for part, paths in folders.items() if paths}
    paths = sorted((inner if inner.is_dir() else source.path).rglob("*.xml"))
    return {"annotations": paths} if paths else {}


def _listed(path: Path, folder: Path) -> list[Path]:
    found = []
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        if text.strip():
            file = folder / f"{text.split()[0]}.xml"
            if not file.is_file():
                raise InputError(f"{path} line {line}: {file} does not exist")
            found.append(file)
    return found


def _root(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: not valid XML: {error}") from error


def _first_pixel(source: Source, roots: list[ElementTree.Element], taken: Taken) -> int:
    """1 where corners are counted as the format says, 0 where they are plain coordinates; which of them is noted."""
    if source.corners is not Corners.auto:
        return int(source.corners is Corners.one_based)
    numbers = [number for root in roots for element in root.findall("object") for number in _numbers(element)]
    if any(number < 1 or number % 1 for number in numbers):
        taken.note("corners read as counted from 0: some are 0 or fractions (corners=one_based reads them otherwise)",
                   len(numbers))  # fmt: skip
        return 0
    taken.note("corners read as counted from 1, as the format says (corners=zero_based reads them otherwise)",
               len(numbers))  # fmt: skip
    return 1


def _numbers(element: ElementTree.Element) -> Iterator[float]:
    for side in SIDES:
        try:
            yield float(element.findtext(f"bndbox/{side}") or "")
        except ValueError:
            return  # told as a fault of this box


def _add_image(
    gathering: Gathering, path: Path, root: ElementTree.Element, first: int, source: Source, taken: Taken
) -> None:
    size = size_of(root.findtext("size/width"), root.findtext("size/height"))
    name = (root.findtext("filename") or "").strip()
    top = source.path / "Annotations"
    folder = path.parent.relative_to(top).as_posix() if path.is_relative_to(top) else "."
    if folder != "." and "/" not in name:
        name = f"{folder}/{name}"
    image = gathering.image(name, f"{path}: field 'filename'", size=size)
    for number, element in enumerate(root.findall("object")):
        where = f"{path}: field 'object[{number}].bndbox'"
        if image is None:
            taken.note("boxes left out with their images")
        else:
            _add(gathering, image, element, where, first, source, taken)


def _add(
    gathering: Gathering, image: str, element: ElementTree.Element, where: str, first: int, source: Source, taken: Taken
) -> None:
    numbers = list(_numbers(element))
    if len(numbers) < len(SIDES):
        taken.faults.append(f"{where}: not four numbers but {[element.findtext(f'bndbox/{side}') for side in SIDES]}")
        return
    left, top, right, bottom = numbers[0] - first, numbers[1] - first, numbers[2], numbers[3]
    good = gathering.good(
        [(whole(left), whole(top), whole(right - left), whole(bottom - top))], [where], gathering.size(image)
    )
    said = [text for name in TEXTS if (text := element.findtext(name))]
    attributes = {a.findtext("name") or "": a.findtext("value") or "" for a in element.iterfind("attributes/attribute")}
    if good:
        for caption in captions_of(source.captions, said, attributes, element.findtext("name"), where, taken):
            if gathering.caption(caption.strip(), where):
                gathering.add(image, where, Annotation(caption.strip(), tuple(good)))
