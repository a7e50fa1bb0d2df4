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
    return Taken({"annotations": read_annotations(source.path)})
