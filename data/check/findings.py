"""What `data.check` can find, and the findings of the annotation files themselves, without their images."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.boxes import iou_matrix, ltwh_to_xyxy
from core.errors import InputError
from core.files import read_json, read_text
from core.values import AnnotatedImage, Annotation, Box
from data.captions import is_json_list, place
from data.entries import (
    BoxOutsideError,
    merge_repeats,
    parse_annotation,
    parse_list,
    parse_name,
    parse_size,
    refuse_equal_ids,
)

KINDS = {
    "broken_entry": "Entries and annotations that cannot be used",
    "missing_image": "Images that are not there",
    "unreadable_image": "Images that cannot be decoded",
    "other_size": "Images of another size than the file says they were labelled at",
    "lost_levels": "Images of more than 8 bits of which few levels are left (decoding.depth=stretch keeps them)",
    "unlisted_image": "Images in the folder that no entry names",
    "repeated_image": "Images named by more than one entry",
    "leak_name": "LEAK: validation images named in the training file too",
    "leak_content": "LEAK: validation images equal, byte for byte, to a training image",
    "leak_near": "LEAK: validation images that look like a training image",
    "leak_annotations": "LEAK: validation images with the captions and boxes of a training image",
    "same_content": "Images equal byte for byte",
    "near_content": "Images that look alike",
    "same_annotations": "Images with equal captions and boxes",
    "repeated_box": "Boxes of one image that nearly, but not quite, coincide (IoU at least 0.9)",
    "box_outside": "Boxes wholly outside their image",
    "box_over_edge": "Boxes over an edge of their image (kept as truth, clipped for crops, labels and drawing)",
    "small_box": "Boxes with a side of 10 px or less",
    "caption_spelling": "Captions that differ only in case or spaces",
    "rare_caption": "Captions with few boxes",
    "caption_only_in_val": "Captions of the validation file that the training file lacks",
    "caption_only_in_train": "Captions of the training file that the validation file lacks",
}
HARMLESS = {"box_over_edge", "small_box", "unlisted_image", "rare_caption", "caption_only_in_train"}
COINCIDE_IOU, SMALL_PX = 0.9, 10


@dataclass
class Findings:
    """Everything found, by kind; an item holds `place`, `what` and, where it helps, more."""

    items: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def add(self, kind: str, where: str, what: str, **more: Any) -> None:
        """Note one finding: its kind, `FILE line N`, and what it is in a few words."""
        self.items[kind].append({"place": where, "what": what, **more})

    def counts(self) -> dict[str, int]:
        """How many findings of each kind."""
        return {kind: len(items) for kind, items in self.items.items()}

    def num_to_mend(self) -> int:
        """How many findings are of a kind that spoils training or judging."""
        return sum(number for kind, number in self.counts().items() if kind not in HARMLESS)


def read_leniently(path: str, findings: Findings) -> list[AnnotatedImage]:
    """The usable entries of an annotation file; what is not usable becomes a finding, and the rest is read."""
    images: list[AnnotatedImage] = []
    first: dict[str, int] = {}
    for line, value in _values(path, findings):
        where = place(path, line)
        try:
            name, entries = parse_name(value, where), parse_list(value, where)
        except InputError as error:
            findings.add("broken_entry", where, str(error))
            continue
        if name in first:
            findings.add("repeated_image", where, f"{name} is already on line {first[name]}")
            continue
        first[name] = line
        usable = list(_usable(entries, where, findings))
        try:
            refuse_equal_ids([annotation.id for annotation in usable], where)
            annotations, size = merge_repeats(usable, where), parse_size(value, where)
        except InputError as error:
            findings.add("broken_entry", where, str(error).removeprefix(f"{where}: "))
            continue
        images.append(AnnotatedImage(name, annotations, line, size=size))
    return images


def _values(path: str, findings: Findings) -> Iterator[tuple[int, Any]]:
    if is_json_list(path):
        yield from enumerate(read_json(path), start=1)
        return
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if text.strip():
            try:
                yield line, json.loads(text)
            except (json.JSONDecodeError, RecursionError) as error:
                findings.add("broken_entry", place(path, line), f"not valid JSON: {error}")


def _usable(entries: list[Any], where: str, findings: Findings) -> Iterator[Annotation]:
    for number, entry in enumerate(entries):
        name = f"annotations[{number}]"
        try:
            yield parse_annotation(entry, where, name)
        except InputError as error:
            kind = "box_outside" if isinstance(error, BoxOutsideError) else "broken_entry"
            findings.add(kind, where, str(error).removeprefix(f"{where}: "))


def check_entries(path: str, images: list[AnnotatedImage], findings: Findings) -> None:
    """What each entry tells alone: targets that nearly coincide, small ones, boxes over the top or left edge."""
    for image in images:
        where, targets = f"{place(path, image.line)} ({image.image})", image.targets
        boxes = ltwh_to_xyxy(np.array(targets, np.float64).reshape(-1, 4))
        for i, j in zip(*np.nonzero(np.triu(iou_matrix(boxes, boxes), 1) >= COINCIDE_IOU), strict=True):
            pair = f"{told(image, targets[i])} and {told(image, targets[j])}"
            findings.add("repeated_box", where, f"{pair} at {list(targets[i])}")
        for target in targets:
            what = f"{told(image, target)} {list(target)}"
            if min(target[2:]) <= SMALL_PX:
                findings.add("small_box", where, what)
            if min(target[:2]) < 0:
                findings.add("box_over_edge", where, what)


def told(image: AnnotatedImage, target: Box) -> str:
    """The captions of one target of an image, for a finding."""
    return " / ".join(repr(a.caption) for a in image.annotations if target in a.boxes_ltwh)


def check_same_annotations(parts: dict[str, tuple[str, list[AnnotatedImage]]], findings: Findings) -> None:
    """Images, of one part or across the two, whose captions and boxes are equal."""
    seen: dict[Any, tuple[str, str, str]] = {}
    for part, (path, images) in parts.items():
        for image in images:
            if not image.annotations:
                continue
            where, key = place(path, image.line), frozenset(image.annotations)
            if key in seen:
                earlier_part, earlier_where, earlier_image = seen[key]
                kind = "same_annotations" if earlier_part == part else "leak_annotations"
                findings.add(kind, where, f"{image.image} and {earlier_image} ({earlier_where})")
            else:
                seen[key] = (part, where, image.image)


def check_captions(parts: dict[str, tuple[str, list[AnnotatedImage]]], few: int, findings: Findings) -> dict[str, Any]:
    """Balance, spelling and coverage of captions; returns the counts of each part and how uneven they are."""
    counts = {
        part: Counter(caption for image in images for caption, _ in image.pairs) for part, (_, images) in parts.items()
    }
    spellings = defaultdict(list)
    for caption in {a.caption: None for _, images in parts.values() for image in images for a in image.annotations}:
        spellings[" ".join(caption.lower().split())].append(caption)
    for variants in spellings.values():
        if len(variants) > 1:
            findings.add("caption_spelling", "captions", " / ".join(repr(v) for v in sorted(variants)))
    for caption, times in sorted(counts["train"].items(), key=lambda item: (item[1], item[0])):
        if times < few:
            findings.add("rare_caption", "captions", f"{caption!r}: {times}")
    if "val" in counts:
        for kind, here, there in (("caption_only_in_val", "val", "train"), ("caption_only_in_train", "train", "val")):
            for caption in sorted(set(counts[here]) - set(counts[there])):
                findings.add(kind, "captions", f"{caption!r}: {counts[here][caption]} boxes")
    return {part: {**balance(list(c.values())), "counts": dict(c.most_common())} for part, c in counts.items()}


def balance(counts: list[int]) -> dict[str, float]:
    """How evenly boxes are spread over captions.

    `effective` is the exponential of the entropy: the number of equally frequent captions that would be as varied.
    """
    if not counts:
        return {"captions": 0, "boxes": 0}
    values = np.array(counts, np.float64)
    share = values / values.sum()
    return {
        "captions": len(counts),
        "boxes": int(values.sum()),
        "fewest": int(values.min()),
        "median": float(np.median(values)),
        "most": int(values.max()),
        "most_over_fewest": float(values.max() / values.min()),
        "effective": float(np.exp(-(share * np.log(share)).sum())),
    }
