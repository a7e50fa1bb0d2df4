"""What a request may be: everything that is checked before any model works for it."""

import hashlib
import io
import json
import re
from dataclasses import dataclass, replace
from typing import Any

from core import jpeg
from pipeline.server.encoded import decode_base64
from pipeline.server.refusals import RefusedError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
SCANS_SETTING = "limits.jpeg_scans"
RUNNERS_UP = 20  # the most that a request may ask for
VALUES = 64  # in JSON, most for each instance that is allowed; the contract asks for three
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


@dataclass
class LimitsConfig:
    """The most that one request may ask for."""

    body_mib: float = 32.0  # MiB of a request's body
    instances: int = 64  # captions in one request
    caption_chars: int = 512  # characters of a caption
    pixels: int = 25_000_000  # width times height of an image
    jpeg_scans: int = jpeg.SCANS  # passes of a progressive JPEG
    decode_s: float = 10.0  # seconds that decoding one image may take


@dataclass(frozen=True, slots=True)
class Instance:
    """One caption and the encoded image it is asked of; `digest` stands for the image's bytes."""

    caption: str
    data: bytes
    digest: str
    place: int = 0  # in its request
    pixels: int = 1  # by the image's header
    runners_up: int | None = None  # so many are told beside the answer and how likely each is; None: the box alone


def parse_request(body: bytes, limits: LimitsConfig) -> list[Instance]:
    """The instances of a request's body, in order; its `runners_up` says how much more than boxes is wanted.

    An image that is repeated in the request is decoded from base64 and looked at once. Raises RefusedError: 400 for
    what is malformed, 413 for what exceeds a limit, 415 for an image format that is not served.
    """
    if count_values(body, VALUES * limits.instances) > VALUES * limits.instances:
        most = f"{VALUES * limits.instances} values in JSON, enough for the limit of {limits.instances} instances"
        raise RefusedError(413, f"the body holds more than {most}")
    try:
        message = json.loads(body.decode("utf-8-sig"))  # of no other encoding, in which the count would see other signs
    except (ValueError, RecursionError) as error:  # ValueError: bad JSON, bad Unicode, and integers of 5,000 digits
        raise RefusedError(400, f"the body is not JSON: {str(error)[:100]}") from error
    instances = message.get("instances") if isinstance(message, dict) else None
    if not isinstance(instances, list):
        raise RefusedError(400, "the body must be an object with a list 'instances'")
    if len(instances) > limits.instances:
        raise RefusedError(413, f"{len(instances)} instances are more than the limit of {limits.instances}")
    more = message.get("runners_up")
    if more is not None and (isinstance(more, bool) or not isinstance(more, int) or not 0 <= more <= RUNNERS_UP):
        raise RefusedError(400, f"'runners_up' must be a whole number from 0 to {RUNNERS_UP}")
    seen: dict[str, tuple[bytes, str, int]] = {}
    parsed = [_parse_instance(value, place, seen, limits) for place, value in enumerate(instances)]
    return parsed if more is None else [replace(instance, runners_up=more) for instance in parsed]


def parse_pieces(pieces: list[bytes], limits: LimitsConfig) -> list[Instance]:
    """`parse_request` of a body in pieces; to put them together takes a while, too."""
    return parse_request(b"".join(pieces), limits)


def count_values(body: bytes, most: int) -> int:
    """How many values a JSON text holds, at least and about, before any is made; counting ends beyond `most`.

    16 million brackets in 32 MiB are a gigabyte of Python objects. Counted are strings, and outside of them whatever
    begins or parts values.
    """
    found, place = 0, 0
    while found <= most:
        quote = body.find(b'"', place)
        end = len(body) if quote < 0 else quote
        found += sum(body.count(sign, place, end) for sign in (b",", b"[", b"{"))
        string = _STRING.match(body, end)
        if string is None:  # the end, or a string without one, which the parser will refuse
            break
        found, place = found + 1, string.end()
    return found


def _parse_instance(value: Any, place: int, seen: dict[str, tuple[bytes, str, int]], limits: LimitsConfig) -> Instance:
    where = f"instances[{place}]"
    if not isinstance(value, dict):
        raise RefusedError(400, f"{where}: must be an object with 'caption' and 'b64'")
    caption, b64 = value.get("caption"), value.get("b64")
    if not isinstance(caption, str) or not isinstance(b64, str):
        raise RefusedError(400, f"{where}: 'caption' and 'b64' must be strings")
    if len(caption) > limits.caption_chars:
        raise RefusedError(413, f"{where}: a caption of {len(caption)} characters; the limit is {limits.caption_chars}")
    if any("\ud800" <= c <= "\udfff" or c == "\0" for c in caption):
        raise RefusedError(400, f"{where}: the caption holds half a surrogate pair or a NUL")
    if b64 not in seen:
        data = decode_base64(b64, where)
        seen[b64] = data, hashlib.sha256(data).hexdigest(), check_header(data, where, limits)
    data, digest, pixels = seen[b64]
    return Instance(caption, data, digest, place, pixels)


def check_header(data: bytes, where: str, limits: LimitsConfig) -> int:
    """An image's pixels by its header; refused by that alone, before a pixel is decoded."""
    too_much = jpeg.excess(data, SCANS_SETTING, limits.jpeg_scans)
    if too_much is not None:
        raise RefusedError(413, f"{where}: {too_much}")
    try:
        width, height = _size(data)
    except Exception as error:  # Pillow's plugins raise anything from SyntaxError to struct.error on hostile headers
        raise RefusedError(415, f"{where}: no image in one of the formats {', '.join(FORMATS)}") from error
    if width * height > limits.pixels:
        raise RefusedError(413, f"{where}: {width} x {height} pixels are more than the limit of {limits.pixels}")
    return width * height


def _size(data: bytes) -> tuple[int, int]:
    """(width, height) by the plugin whose first bytes these are.

    Not by `Image.open`: Ultralytics replaces it in the whole process by one that, for each broken header, looks for a
    package to read it with and logs that it is missing.
    """
    from PIL import Image as PillowImage

    PillowImage.init()  # registers the plugins; once
    for name in FORMATS:
        factory, accept = PillowImage.OPEN[name]
        if accept is None or accept(data[:16]) is True:
            with factory(io.BytesIO(data), "") as header:
                width, height = header.size
                return int(width), int(height)
    raise ValueError("no known first bytes")
