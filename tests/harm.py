"""Files and requests that mean harm, each built from its cause; `benchmarks/hostile.py` and the tests send the same."""

import struct


def scan_bomb(side: int, scans: int, lead: bytes = b"") -> bytes:
    """A grey progressive JPEG of side x side whose scans say "nothing more" for every block, in 55 bytes each.

    lead: what stands before every scan.
    """
    sof = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, side, side, 1) + bytes([1, 0x11, 0])
    dqt = b"\xff\xdb" + struct.pack(">H", 67) + b"\0" + bytes([16] * 64)
    dht = b"\xff\xc4" + struct.pack(">H", 20) + b"\x10" + bytes([1] + [0] * 15) + b"\xe0"  # one code: end of a band run
    scan = b"\xff\xda" + struct.pack(">HB", 8, 1) + bytes([1, 0, 1, 63, 0]) + bytes(45)  # 24 runs of 16,384 blocks
    return b"\xff\xd8" + dqt + sof + dht + (lead + scan) * scans + b"\xff\xd9"


def unfolding(kind: str, size: int) -> bytes:
    """A body of about `size` bytes of very many values: `lists`, `objects`, `keys`, `strings`, `quotes`."""
    if kind == "keys":
        return b'{"instances":[{' + b",".join(b'"%d":1' % n for n in range(size // 11)) + b"}]}"
    piece = {"lists": b"[],", "objects": b"{},", "strings": b'"",', "quotes": b'\\"', "nested": b"["}[kind]
    head, tail = (b'{"instances":["', b'"]}') if kind == "quotes" else (b'{"instances":[', b"[]]}")
    return head + piece * (size // len(piece)) + tail


def announced(length: int, route: str = "/identify", *lines: str) -> bytes:
    """The head of a request that says so many bytes follow."""
    return "\r\n".join([f"POST {route} HTTP/1.1", "Host: x", f"Content-Length: {length}", *lines, "", ""]).encode()


HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
