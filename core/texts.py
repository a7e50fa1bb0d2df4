"""Texts of others, kept as texts: what cannot be one is named, and what a terminal would obey is shown instead."""

import os
import unicodedata
from collections.abc import Iterable

# Right-to-left marks and the like reorder a line, so that a name reads as another; the rest of Cf is harmless.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def text_fault(text: str) -> str | None:
    """Why a text can be neither written as UTF-8 nor kept by every tool; None when it can."""
    if any("\ud800" <= c <= "\udfff" for c in text):
        return "holds half a surrogate pair"
    return "holds a NUL" if "\0" in text else None


def composed(text: str) -> str:
    """A text in Unicode's composed form: macOS and others write an accent after its letter, most tools in one."""
    return unicodedata.normalize("NFC", text)


def alike(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Each name and the known one that it is, where they differ at most in how letters are composed; else itself."""
    exact, forms = set(known), dict[str, list[str]]()
    for name in exact:
        forms.setdefault(composed(name), []).append(name)
    one = {form: found[0] for form, found in forms.items() if len(found) == 1}
    return {name: name if name in exact else one.get(composed(name), name) for name in names}


def on_terminal(text: str) -> str:
    r"""The text with control characters, reordering marks and half surrogates written as escapes: `\x1b`, `\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode("ascii") if _is_obeyed(c) else c for c in text)


def _is_obeyed(character: str) -> bool:
    return character in _REORDERING or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}


def is_utf8_name(name: str | os.PathLike[str]) -> bool:
    """Whether a file's name, as the system gave it, is UTF-8 and can stand in a file of ours."""
    return text_fault(os.fspath(name)) is None
