"""Our own form, as described-flying-objects is published: a JSON list or JSON Lines of images with their captions."""

import re

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
    """Whether the first entry of a file is an image with annotations, by its beginning alone.

    False also where the beginning does not tell: an entry whose `annotations` fill it before its `image` comes.
    """
    with open(source.path, encoding="utf-8", errors="replace") as stream:
        head = stream.read(4096).lstrip("\ufeff \t\r\n[")
    keys, depth = set[str](), 0
    for token in re.finditer(r'"((?:[^"\\]|\\.)*)"(\s*:)?|[\[{]|[\]}]', head):
        if depth == 1 and token[2]:
            keys.add(token[1])
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth == 0:
            break
    return {"image", "annotations"} <= keys
