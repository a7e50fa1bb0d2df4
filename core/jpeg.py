"""What a JPEG asks of its decoder, counted before any of it is decoded."""

import re

SCANS, SEGMENTS = 100, 10_000  # a camera's progressive file has about 10 scans; each costs a pass over all pixels
SOI, EOI, SOS = b"\xff\xd8", 0xD9, 0xDA
# A marker, not the stuffing, fill bytes, restarts and TEM that may stand between and inside scans.
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")
# Markers whose length libjpeg skips by; it reads on right behind all others, or fails.
_WITH_LENGTH = frozenset({*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE} - {0xC8})


def count_scans(data: bytes, scans: int = SCANS, segments: int = SEGMENTS) -> tuple[int, int]:
    """(scans, segments) of a JPEG, walked as libjpeg walks it; the walk ends where either exceeds its limit.

    What lies inside a segment, such as the thumbnail of an APP1, and what follows the end marker is not counted.
    """
    found_scans = found = 0
    place = len(SOI)
    while found_scans <= scans and found <= segments and (marker := _MARKER.search(data, place)):
        kind, place = data[marker.start() + 1], marker.end()
        if kind == EOI:
            break
        found += 1
        found_scans += kind == SOS
        if kind in _WITH_LENGTH:
            place += max(2, int.from_bytes(data[place : place + 2], "big"))
    return found_scans, found


def has_end(data: bytes) -> bool:
    """Whether a JPEG's end marker comes behind a scan, walked as libjpeg walks it: what follows the end is not its own.

    An end marker inside a segment, such as that of a thumbnail, is not the image's; inside a scan none can stand.
    """
    place, scans = len(SOI), 0
    while marker := _MARKER.search(data, place):
        kind, place = data[marker.start() + 1], marker.end()
        if kind == EOI:
            return scans > 0
        scans += kind == SOS
        if kind in _WITH_LENGTH:
            place += max(2, int.from_bytes(data[place : place + 2], "big"))
    return False


def excess(data: bytes, setting: str, scans: int = SCANS) -> str | None:
    """What a JPEG has too much of, in words that name the setting for scans; None within the limits and for no JPEG."""
    if not data.startswith(SOI):
        return None
    found_scans, found = count_scans(data, scans)
    if found_scans > scans:
        return f"more than {scans} JPEG scans, the limit that {setting} sets"
    return f"more than {SEGMENTS} JPEG segments" if found > SEGMENTS else None


def most_passes(data: bytes) -> int:
    """How many passes over its pixels a decoder can make at most: start-of-scan bytes anywhere, 1 for what has none."""
    return max(1, data.count(b"\xff\xda")) if data.startswith(SOI) else 1
