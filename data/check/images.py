"""The findings of the images themselves: missing, broken, equal, alike, and boxes outside their frames."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from core.boxes import box_area, clip_xyxy, ltwh_to_xyxy
from core.errors import InputError
from core.files import sha256_bytes
from core.images import decode_image, deep_levels
from core.listing import image_path, list_images
from core.progress import progress
from core.texts import on_terminal
from core.values import AnnotatedImage
from data.captions import place
from data.check.findings import Findings, told
from data.frames import sizes_differ

HASH_BITS = 255
FEW_LEVELS = 64  # of 256; a detector sees steps of four levels and more
_SIDE, _KEPT = 64, 16


@dataclass(frozen=True)
class Seen:
    """An image that could be decoded: where it is named, its digest, its look and its size."""

    part: str
    where: str
    image: str
    sha256: str
    look: NDArray[np.uint64]
    width: int
    height: int
    lost: str | None = None  # how many of its levels decoding drops, where that is most of them


def look_of(image: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """A perceptual hash of an (H, W, 3) RGB image: (4,) uint64 that hold 255 bits.

    The 16 x 16 lowest frequencies of the 64 x 64 grey image but the mean, each above or below their median (Zauner,
    "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, with 8 x 8). Of 60 drawn scenes, noise
    up to variance 5000, JPEG at 20, blur and halving changed at most 26 bits, two different scenes differed in 100 or
    more; a cut of 2 % at every edge changed up to 48.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    waves = cv2.dct(small)[:_KEPT, :_KEPT].ravel()[1:]
    bits = np.append(waves > np.median(waves), False)
    return np.packbits(bits).view(np.uint64)


def nearest(looks: NDArray[np.uint64], look: NDArray[np.uint64], most_bits: int) -> tuple[int, int] | None:
    """The first of (N, 4) hashes that is nearest to `look`, and by how many bits; None beyond `most_bits`."""
    if not len(looks):
        return None
    bits = np.bitwise_count(looks ^ look).sum(axis=1, dtype=np.int64)
    best = int(bits.argmin())
    return (best, int(bits[best])) if bits[best] <= most_bits else None


def look_at_images(
    part: str, path: str, images: Sequence[AnnotatedImage], folder: str, workers: int, findings: Findings
) -> list[Seen]:
    """Decode every image of a part; the ones that are missing or broken, and boxes outside, become findings."""
    seen = []
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda image: _look(part, path, image, folder), images)
        for annotated, result in zip(images, progress(results, f"looking at {part}", len(images)), strict=True):
            if isinstance(result, Seen):
                seen.append(result)
                if result.lost is not None:
                    findings.add("lost_levels", f"{result.where} ({result.image})", result.lost)
                if annotated.size not in (None, (result.width, result.height)):
                    told_by = sizes_differ(annotated, (result.width, result.height))
                    findings.add("other_size", result.where, told_by)
                _check_boxes(annotated, result, findings)
            else:
                kind, what = result
                findings.add(kind, place(path, annotated.line), what)
    return seen


def _look(part: str, path: str, annotated: AnnotatedImage, folder: str) -> Seen | tuple[str, str]:
    file = image_path(folder, annotated.image)
    if not file.is_file():
        return "missing_image", f"{file} does not exist"
    try:
        data = file.read_bytes()
        image = decode_image(data, str(file))
    except (InputError, OSError) as error:
        return "unreadable_image", str(error)
    height, width = image.shape[:2]
    where = place(path, annotated.line)
    lost = _lost(data, str(file), len(np.unique(image)))
    return Seen(part, where, annotated.image, sha256_bytes(data), look_of(image), width, height, lost)


def _lost(data: bytes, name: str, kept: int) -> str | None:
    deep = deep_levels(data, name)
    if deep is None or kept >= min(FEW_LEVELS, deep[1]):
        return None
    return f"uses {100 * deep[0]:.2g} % of its range: {deep[1]} levels become {kept}"


def _check_boxes(annotated: AnnotatedImage, seen: Seen, findings: Findings) -> None:
    targets = annotated.targets
    boxes = ltwh_to_xyxy(np.array(targets, np.float64).reshape(-1, 4))
    inside = clip_xyxy(boxes, seen.width, seen.height)
    for target, cut, area in zip(targets, (inside != boxes).any(axis=1), box_area(inside), strict=True):
        what = f"{told(annotated, target)} {list(target)} in {seen.width} x {seen.height} px"
        if area <= 0:
            findings.add("box_outside", f"{seen.where} ({seen.image})", what)
        elif cut and min(target[:2]) >= 0:  # the others the annotation file has told already
            findings.add("box_over_edge", f"{seen.where} ({seen.image})", what)


def check_duplicates(seen: Sequence[Seen], most_bits: int, findings: Findings) -> None:
    """Images equal to, or looking like, an earlier one of their part or, for validation, one of training.

    One finding an image and relation: with its equal if it has one, else with its nearest.
    """
    images = {part: [s for s in seen if s.part == part] for part in ("train", "val")}
    looks = {part: np.array([s.look for s in found], np.uint64).reshape(-1, 4) for part, found in images.items()}
    for part, found in images.items():
        for number, image in enumerate(found):
            _compare(image, found[:number], looks[part][:number], most_bits, ("same_content", "near_content"), findings)
    for image in images["val"]:
        _compare(image, images["train"], looks["train"], most_bits, ("leak_content", "leak_near"), findings)


def _compare(
    image: Seen,
    others: Sequence[Seen],
    looks: NDArray[np.uint64],
    most_bits: int,
    kinds: tuple[str, str],
    findings: Findings,
) -> None:
    found = nearest(looks, image.look, most_bits)
    if found is None:
        return
    other, bits = others[found[0]], found[1]
    equal = next((o for o in others if o.sha256 == image.sha256), None) if bits == 0 else None
    if equal is not None:
        findings.add(kinds[0], image.where, f"{image.image} and {equal.image} ({equal.where})")
    else:
        apart = f"{bits} of {HASH_BITS} bits apart"
        findings.add(kinds[1], image.where, f"{image.image} and {other.image} ({other.where}), {apart}", bits=bits)


def check_unlisted(folders: dict[str, set[str]], findings: Findings) -> None:
    """Images in the folders that no entry names; `folders` maps a folder to the names used of it."""
    for folder, names in folders.items():
        listed = {image_path(folder, name) for name in names}
        for name in list_images(folder).names if Path(folder).is_dir() else ():
            if Path(folder) / name not in listed:
                findings.add("unlisted_image", folder, on_terminal(name))  # which may be no text
