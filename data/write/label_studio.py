"""Annotations as Label Studio's tasks, and the labelling interface that shows them."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from core.values import Annotation
from data.formats.label_studio import ABSENT
from data.formats.origins import CAPTION
from data.frames import FramedImage
from data.parts import TARGET


def tasks_of(framed: Sequence[FramedImage], address: str, by_caption: bool) -> list[dict[str, Any]]:
    """One task an image: a rectangle a caption and target, with the caption as its text or, `by_caption`, its label.

    A caption that describes nothing is a text of its image named `absent`. address: what stands before names.
    """
    tasks = []
    for number, entry in enumerate(framed, start=1):
        results: list[dict[str, Any]] = []
        for place, annotation in enumerate(entry.annotated.annotations):
            results += _results(entry, f"a{place}", annotation, by_caption)
        data = {"image": address + quote(entry.annotated.image)}
        tasks.append({"id": number, "data": data, "annotations": [{"result": results, "was_cancelled": False}]})
    return tasks


def _results(entry: FramedImage, key: str, annotation: Annotation, by_caption: bool) -> list[dict[str, Any]]:
    text = {"to_name": "image", "type": "textarea", "value": {"text": [annotation.caption]}}
    if not annotation.boxes_ltwh:
        return [text | {"id": key, "from_name": ABSENT}]
    found: list[dict[str, Any]] = []
    frame = {"original_width": entry.width, "original_height": entry.height, "image_rotation": 0}
    for number, (left, top, width, height) in enumerate(annotation.boxes_ltwh):
        place = {"x": 100 * left / entry.width, "y": 100 * top / entry.height, "width": 100 * width / entry.width,
                 "height": 100 * height / entry.height, "rotation": 0}  # fmt: skip
        named = {"id": f"{key}.{number}", "to_name": "image", **frame}
        label = {"rectanglelabels": [annotation.caption if by_caption else TARGET]}
        found.append({**named, "from_name": "label", "type": "rectanglelabels", "value": place | label})
        if not by_caption:
            found.append(text | named | {"from_name": CAPTION, "value": place | {"text": [annotation.caption]}})
    return found


def interface_of(classes: Sequence[str]) -> str:
    """The labelling interface, to be pasted into the project's settings."""
    labels = "".join(f"\n    <Label value={quoteattr(name)}/>" for name in classes or [TARGET])
    caption = "" if classes else f'\n  <TextArea name="{CAPTION}" toName="image" perRegion="true" editable="true"/>'
    return (
        f'<View>\n  <Image name="image" value="$image"/>\n  <RectangleLabels name="label" toName="image">{labels}\n'
        f'  </RectangleLabels>{caption}\n  <TextArea name="{ABSENT}" toName="image" editable="true"/>\n</View>\n'
    )
