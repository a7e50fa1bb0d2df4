"""Annotations as CVAT for images 1.1, and the labels that CVAT needs to take them."""

import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from core.errors import InputError
from data.formats.cvat import ABSENT
from data.formats.origins import CAPTION
from data.frames import FramedImage
from data.parts import TARGET

Attributes = dict[str, str]
UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")  # in XML 1.0; a carriage return comes back as a line break


def cvat_of(framed: Sequence[FramedImage], by_caption: bool) -> str:
    """The XML: one box a caption and target, with the caption as its attribute or, `by_caption`, as its label.

    A caption that describes nothing is a tag `absent` of its image. Raises InputError for signs that XML cannot hold.
    """
    for entry in framed:
        for text in (entry.annotated.image, *(annotation.caption for annotation in entry.annotated.annotations)):
            if UNWRITABLE.search(text):
                raise InputError(f"{entry.annotated.image}: {text[:40]!r} holds a sign that no XML file can hold")
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    for number, entry in enumerate(framed):
        size = {"width": str(entry.width), "height": str(entry.height)}
        image = ElementTree.SubElement(root, "image", {"id": str(number), "name": entry.annotated.image, **size})
        for annotation in entry.annotated.annotations:
            for left, top, width, height in annotation.boxes_ltwh:
                corners = {"xtl": left, "ytl": top, "xbr": left + width, "ybr": top + height}
                shape = {"label": annotation.caption if by_caption else TARGET, "source": "file", "occluded": "0",
                         **{name: repr(value) for name, value in corners.items()}, "z_order": "0"}  # fmt: skip
                _shape(image, "box", shape, None if by_caption else annotation.caption)
            if not annotation.boxes_ltwh:
                _shape(image, "tag", {"label": ABSENT, "source": "file"}, annotation.caption)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _shape(image: ElementTree.Element, kind: str, shape: Attributes, caption: str | None) -> None:
    element = ElementTree.SubElement(image, kind, shape)
    if caption is not None:
        ElementTree.SubElement(element, "attribute", {"name": CAPTION}).text = caption


def labels_of(classes: Sequence[str]) -> list[dict[str, Any]]:
    """The labels for the raw view of CVAT's label editor; without classes the one label `target` with a caption."""
    caption = {"name": CAPTION, "input_type": "text", "mutable": True, "values": [""]}
    labels: list[dict[str, Any]] = [{"name": name, "attributes": []} for name in classes]
    labels = labels or [{"name": TARGET, "attributes": [caption]}]
    return [*labels, {"name": ABSENT, "type": "tag", "attributes": [caption]}]
