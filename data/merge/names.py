"""The names that several sets bring into one: which set is which, and what happens when they use one name."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path

from core.errors import InputError


class Collisions(Enum):
    """What happens when two sets use one name."""

    error = "error"
    rename = "rename"


def set_names(paths: Sequence[str], given: Sequence[str] | None = None) -> list[str]:
    """A distinct short name for each set, fit for file names: as given, else the folder's or file's own."""
    if given is not None:
        if len(given) != len(paths) or len(set(given)) != len(given):
            raise InputError(f"names: {list(given)} are not {len(paths)} different names, one for each set")
        bad = next((name for name in given if not re.fullmatch(r"[\w.+-]+", name)), None)
        if bad is not None:
            raise InputError(f"names: {bad!r} is not made of letters, digits and . _ + -")
        return list(given)
    own = [re.sub(r"[^\w.+-]+", "_", Path(path).resolve().stem) for path in paths]
    times = Counter(own)
    return [f"{name}{i}" if times[name] > 1 else name for i, name in enumerate(own, start=1)]


def refuse_collisions(names: Sequence[str], parts: Sequence[Iterable[str]], noun: str) -> None:
    """Raise InputError naming the first names that two sets share, and how many there are."""
    owner: dict[str, str] = {}
    shared = []
    for set_name, part in zip(names, parts, strict=True):
        for name in part:
            if owner.setdefault(name, set_name) != set_name:
                shared.append(f"{name} ({owner[name]} and {set_name})")
    if shared:
        first = ", ".join(shared[:3]) + (", ..." if len(shared) > 3 else "")
        raise InputError(
            f"sets: {len(shared)} {noun} are in two sets: {first}; collisions=rename puts the set's name before each"
        )
