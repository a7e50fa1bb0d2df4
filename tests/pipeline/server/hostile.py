"""Requests that mean harm: damaged at random, or small ones that claim or unfold to very much."""

import base64
import json
import struct
import zlib

import numpy as np

from core.images import encode_image


def b64(data):
    return base64.b64encode(data).decode("ascii")


def bombs():
    """Small files that claim or unfold to very many pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def png(width, height, *extra):
        body = zlib.compress(bytes(10_000_000), 9)
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", body) + chunk(b"IEND", b"")

    for side in (501, 3000, 20_000, 30_000, 65_535, 2**31 - 1):
        yield png(side, side)
        yield b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    for marker in (0xC0, 0xC1, 0xC2):
        frame = struct.pack(">BBHBHHB", 0xFF, marker, 17, 8, 65_500, 65_500, 3) + bytes([1, 17, 0, 2, 17, 1, 3, 17, 1])
        yield b"\xff\xd8" + frame + b"\xff\xd9"
    for kind in (b"zTXt", b"iCCP"):  # text and profiles that unfold to 100 MB
        yield png(8, 8, chunk(kind, b"k\0\0" + zlib.compress(bytes(100_000_000), 9)))
    size = (16_383 - 1) | (16_383 - 1) << 14
    yield b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", size)
    vp8x = b"VP8X" + struct.pack("<II", 10, 0) + (2**24 - 1).to_bytes(3, "little") * 2
    yield b"RIFF" + struct.pack("<I", 30) + b"WEBP" + vp8x
    yield png(200_001, 1)


WEIRD = [None, True, -1, 1e308, "", "\x00", "é" * 400, [], {}, [[]], "data:image/png;base64,AAAA", "🚁" * 30]


def mutated(rng, instances):
    """A request with its pixels, its fields or its bytes damaged."""
    picked = [dict(instances[n]) for n in rng.integers(len(instances), size=rng.integers(1, 4))]
    kind = rng.integers(5)
    if kind == 0:
        picked[0][["caption", "b64", "key"][rng.integers(3)]] = WEIRD[rng.integers(len(WEIRD))]
    elif kind == 1:
        picked[0].pop(["caption", "b64", "key"][rng.integers(3)])
    elif kind == 2:
        data = bytearray(base64.b64decode(picked[0]["b64"]))
        for place in rng.integers(len(data), size=rng.integers(1, 9)):
            data[place] = rng.integers(256)
        picked[0]["b64"] = b64(bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else data))
    elif kind == 3:
        shape = (*(int(s) for s in np.exp(rng.uniform(0, 5.5, 2)).astype(int)), 3)
        noise = rng.integers(0, 256, shape, np.uint8)
        picked[0]["b64"] = b64(encode_image(noise, [".png", ".jpg", ".webp", ".bmp"][rng.integers(4)]))
    body = bytearray(json.dumps({"instances": picked}).encode())
    if kind == 4:
        for place in rng.integers(len(body), size=rng.integers(1, 5)):
            body[place] = rng.integers(256)
        del body[int(rng.integers(len(body))) if rng.random() < 0.3 else len(body) :]
    return bytes(body)
