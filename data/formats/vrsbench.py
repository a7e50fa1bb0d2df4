"""VRSBench's referring file, `VRSBench_EVAL_referring.json`: a caption an entry, its box in hundredths of the sides.

`question` is the caption and `ground_truth` the box as `{<x1><y1><x2><y2>}`, whole numbers 0 to 100, of images of
512 x 512 px: steps of 5.12 px. A side of no step becomes half a step, which lies in the same one. `question_id` becomes
the entry's `id`; `unique` (or `is_unique`), `obj_cls` and `size_group` become tags.
"""

import re
from typing import Any

from core.values import Annotation
from data.formats.source import Source
from data.formats.taken import Gathering, Taken, text_of

ABOUT = "VRSBench's referring file: entries with 'image_id', 'question' and 'ground_truth' as {<x1><y1><x2><y2>}"
STEP_PX = 5.12


def recognises(source: Source) -> bool:
    """Whether the entries have an image, a question and a box of hundredths."""
    first = source.rows[0] if source.rows else None
    return isinstance(first, dict) and {"image_id", "question", "ground_truth"} <= first.keys()


def read(source: Source) -> Taken:
    """Every caption with its box; InputError for a missing image or caption."""
    taken = Taken()
    gathering = Gathering(taken)
    for number, entry in enumerate(source.rows):
        where = f"{source.path} entry {number + 1}"
        corners = [int(v) for v in re.findall(r"\d+", str(entry.get("ground_truth")))]
        box = _pixels(corners)
        if box is None:
            taken.faults.append(f"{where}: field 'ground_truth': not <x1><y1><x2><y2> within 0..100: {corners}")
            continue
        caption = text_of(entry.get("question"), where, "question")
        key = str(entry.get("question_id", number))
        image = text_of(entry.get("image_id"), where, "image_id")
        taken.from_where("question")
        gathering.add(image, where, Annotation(caption, (box,), key, _tags(entry)))
    taken.parts["annotations"] = gathering.images(str(source.path))
    return taken


def _pixels(corners: list[int]) -> tuple[float, float, float, float] | None:
    if len(corners) != 4 or max(corners) > 100 or corners[2] < corners[0] or corners[3] < corners[1]:
        return None
    x1, y1, x2, y2 = corners
    width, height = x2 - x1 or 0.5, y2 - y1 or 0.5
    left, top, width, height = (round(v * STEP_PX, 6) for v in (x1, y1, width, height))
    return left, top, width, height


def _tags(entry: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    unique = entry.get("unique", entry.get("is_unique"))
    tags = {"unique": None if unique is None else str(bool(unique)).lower(), "class": entry.get("obj_cls"),
            "size": entry.get("size_group")}  # fmt: skip
    return tuple((name, str(value)) for name, value in tags.items() if value not in (None, ""))
