"""CVAT for images 1.1: one XML file with an `image` element for every image, its shapes below it.

The captions of a box are one of its attributes, or its label. Polygons, polylines, ellipses and masks stand for the box
round them, and so do turned boxes. Images that name a subset go into the part of that name.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from core.errors import InputError
from core.values import Annotation
from data.formats.origins import CAPTION, captions_of
from data.formats.source import Source
from data.formats.taken import Gathering, Taken, size_of, whole

ABOUT = "CVAT for images 1.1: an XML file of 'annotations' with 'image' elements"
PARTS = {"train": "train", "valid": "val", "validation": "val", "val": "val", "test": "test"}
ABSENT = "absent"  # the label of tags whose captions describe nothing in their image
OTHERS = ("points", "cuboid", "skeleton", "tag")  # no boxes
Corners = tuple[float, float, float, float]


def recognises(source: Source) -> bool:
    """Whether there is an XML file that begins with `annotations`."""
    path = _file(source)
    if path is None or path.suffix.lower() != ".xml":
        return False
    with open(path, "rb") as stream:
        return b"<annotations" in stream.read(4096)


def read(source: Source) -> Taken:
    """Every image; InputError for broken XML and for CVAT for video."""
    path = _file(source) or source.path
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: not valid XML: {error}") from error
    if root.find("track") is not None:
        raise InputError(f"{path}: is CVAT for video 1.1, whose tracks span images; export CVAT for images 1.1")
    taken, parts = Taken(), dict[str, Gathering]()
    subsets = {element.get("subset") or "" for element in root.iter("image")}
    for number, element in enumerate(root.iter("image")):
        subset = element.get("subset") or ""
        part = "annotations" if len(subsets) < 2 else PARTS.get(subset.lower(), subset or "annotations")
        gathering = parts.setdefault(part, Gathering(taken, source))
        _add_image(gathering, element, f"{path}: field 'image[{number}]", source, taken)
    taken.parts = {part: gathering.images(str(path)) for part, gathering in parts.items()}
    if not taken.parts:
        raise InputError(f"{path}: field 'image': there is none")
    return taken


def _file(source: Source) -> Path | None:
    """The source itself, or the file of the usual name in it."""
    path = source.path / "annotations.xml" if source.path.is_dir() else source.path
    return path if path.is_file() else None


def _add_image(gathering: Gathering, element: ElementTree.Element, where: str, source: Source, taken: Taken) -> None:
    """An image with its shapes; its id is CVAT's own and says nothing outside of CVAT."""
    size = size_of(element.get("width"), element.get("height"))
    image = gathering.image(element.get("name"), f"{where}.name'", size=size)
    for number, shape in enumerate(element):
        place = f"{where}.{shape.tag}[{number}]'"
        if image is None:
            taken.note("boxes left out with their images")
        elif shape.tag == "tag" and shape.get("label") == ABSENT:
            _add_absent(gathering, image, shape, place, taken)
        elif shape.get("outside") == "1":
            taken.note("shapes left out: CVAT marks them as outside of the image")
        elif shape.tag in OTHERS:
            taken.note(f"shapes left out: {shape.tag} has no box")
        else:
            _add(gathering, image, shape, place, source, taken)


def _add_absent(gathering: Gathering, image: str, tag: ElementTree.Element, where: str, taken: Taken) -> None:
    """A caption that describes nothing in its image, as our own files say it."""
    caption = next((a.text or "" for a in tag.findall("attribute") if a.get("name") == CAPTION), "")
    if gathering.caption(caption, where):
        gathering.add(image, where, Annotation(caption, ()))
        taken.from_where(f"tags {ABSENT!r}")


def _add(
    gathering: Gathering, image: str, shape: ElementTree.Element, where: str, source: Source, taken: Taken
) -> None:
    try:
        left, top, right, bottom = _corners(shape)
    except (TypeError, ValueError) as error:
        taken.faults.append(f"{where}: is no {shape.tag} that can be read ({error})")
        return
    if shape.tag != "box" or float(shape.get("rotation") or 0):
        taken.note("boxes drawn round polygons, masks, ellipses or turned boxes")
    good = gathering.good(
        [(whole(left), whole(top), whole(right - left), whole(bottom - top))], [where], gathering.size(image)
    )
    attributes = {str(a.get("name")): a.text or "" for a in shape.findall("attribute")}
    if good:
        for caption in captions_of(source.captions, (), attributes, shape.get("label"), where, taken):
            if gathering.caption(caption, where):
                gathering.add(image, where, Annotation(caption, tuple(good)))


def _corners(shape: ElementTree.Element) -> Corners:
    """Left, top, right, bottom of a shape in pixels; TypeError or ValueError for what is none."""
    if shape.tag == "box":
        corners = [float(str(shape.get(name))) for name in ("xtl", "ytl", "xbr", "ybr")]
        return turned((corners[0], corners[1], corners[2], corners[3]), float(shape.get("rotation") or 0))
    if shape.tag == "mask":
        left, top, width, height = (float(str(shape.get(name))) for name in ("left", "top", "width", "height"))
        return left, top, left + width, top + height
    if shape.tag == "ellipse":
        x, y, rx, ry = (float(str(shape.get(name))) for name in ("cx", "cy", "rx", "ry"))
        angle = math.radians(float(shape.get("rotation") or 0))
        across = math.hypot(rx * math.cos(angle), ry * math.sin(angle))
        down = math.hypot(rx * math.sin(angle), ry * math.cos(angle))
        return x - across, y - down, x + across, y + down
    points = [[float(v) for v in pair.split(",")] for pair in str(shape.get("points")).split(";")]
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def turned(corners: Corners, degrees: float, pivot: Sequence[float] | None = None) -> Corners:
    """The box round a box that is turned clockwise about its centre, or about a pivot (x, y)."""
    if not degrees:
        return corners
    left, top, right, bottom = corners
    x, y = pivot or ((left + right) / 2, (top + bottom) / 2)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    offsets = [(px - x, py - y) for px in (left, right) for py in (top, bottom)]
    xs, ys = [x + dx * cos - dy * sin for dx, dy in offsets], [y + dx * sin + dy * cos for dx, dy in offsets]
    return min(xs), min(ys), max(xs), max(ys)
