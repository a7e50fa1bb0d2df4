"""Base64 as clients write it: in lines, with a `data:` head, with url-safe letters, without padding."""

import base64
import re

from pipeline.server.refusals import RefusedError

_OTHER = re.compile(r"[^A-Za-z0-9+/_\-\r\n\t]")
_AROUND = " \r\n\t"
_PLAIN = str.maketrans("-_", "+/", "\r\n\t=")  # RFC 4648, section 5, and the line breaks of MIME and coreutils
_HEAD = re.compile(r"data:([^,]{0,200}),", re.IGNORECASE)
_LETTERS = 4  # that make three bytes; a remainder of one letter makes none


def decode_base64(text: str, where: str) -> bytes:
    """The bytes that a text stands for; RefusedError 400 says at which character it is no base64, and what is there."""
    start, end = 0, len(text.rstrip(f"{_AROUND}="))
    if text[:5].lower() == "data:":
        head = _HEAD.match(text)
        if head is None or not head[1].lower().endswith(";base64"):
            raise RefusedError(400, f"{where}: 'b64' is a data: URL without ';base64,' before its data")
        start = head.end()
    start += len(text[start:end]) - len(text[start:end].lstrip(_AROUND))
    wrong = _OTHER.search(text, start, end)
    if wrong is not None:
        blank = "a blank; decoding it as a form makes blanks of '+'"
        told = f"character {wrong.start() + 1} is {blank if wrong[0] == ' ' else ascii(wrong[0])}"
        raise RefusedError(400, f"{where}: 'b64' is not base64: {told}")
    letters = text[start:end].translate(_PLAIN)
    if len(letters) % _LETTERS == 1:
        raise RefusedError(400, f"{where}: 'b64' is not base64: it ends within a byte, after {len(letters)} letters")
    return base64.b64decode(letters + "=" * (-len(letters) % _LETTERS), validate=True)
