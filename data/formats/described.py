"""Our own form, as described-flying-objects is published: a JSON list or JSON Lines of images with their captions."""

from data.captions import read_annotations
from data.formats.source import Source
from data.formats.taken import Taken

ABOUT = "images with 'annotations' of 'caption' and 'bbox' or 'boxes' (ours; described-flying-objects as it is)"


def recognises(source: Source) -> bool:
    """Whether the first entry is an image with annotations."""
    first = source.rows[0] if source.rows else None
    return isinstance(first, dict) and {"image", "annotations"} <= first.keys()


def read(source: Source) -> Taken:
    """Every image; InputError as `data.captions.read_annotations`."""
    images = read_annotations(source.path)
    return Taken({"annotations": images}, origins={"caption": sum(len(image.annotations) for image in images)})


def begins(source: Source) -> bool:
    """Whether the beginning of a file is our form, without reading all of it."""
    with open(source.path, encoding="utf-8", errors="replace") as stream:
        head = stream.read(4096).lstrip("\ufeff \t\r\n[")
    return head.startswith("{") and '"image"' in head.partition("}")[0].partition("[")[0]
