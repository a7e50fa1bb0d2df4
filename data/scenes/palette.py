"""Caption grammar of the targets: which words name a kind, which a colour, and the default vocabulary."""

import re
from dataclasses import dataclass

from core.errors import InputError, nearest

KINDS = (
    "fighter jet",
    "fighter plane",
    "helicopter",
    "missile",
    "drone",
    "light aircraft",
    "commercial aircraft",
    "cargo aircraft",
)

# RGB anchors 0..255; each target jitters around its anchors so that no colour is one exact value.
COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "white": ((238, 238, 234), (226, 230, 234)),
    "black": ((26, 27, 30), (36, 36, 40)),
    "grey": ((122, 126, 131), (104, 109, 116)),
    "silver": ((186, 191, 199), (174, 180, 190)),
    "red": ((202, 26, 32), (178, 20, 28)),
    "orange": ((240, 116, 14), (228, 98, 18)),
    "yellow": ((246, 208, 24), (236, 190, 20)),
    "green": ((34, 122, 52), (58, 104, 44)),
    "blue": ((26, 72, 182), (36, 96, 198)),
    "brown": ((120, 80, 44), (104, 72, 48)),
}

# Colour schemes by kind, majority colour first; "camo" marks blotches. Spelled in full by `default_captions`.
SCHEMES: dict[str, str] = {
    "fighter jet": "grey, black, white, red, yellow, grey camo, black camo, blue camo, green/brown camo, blue/yellow,"
    " blue/white, blue/grey, white/blue, white/black, grey/red, red/white, orange/black, red/white/blue",
    "fighter plane": "grey, black, white, red, yellow, green, silver, green/brown camo, silver/blue, white/blue,"
    " white/black, white/red, grey/black, grey/white, grey/yellow, yellow/black, green/yellow, green/white,"
    " blue/green, blue/yellow/green, white/red/green, yellow/red/blue",
    "helicopter": "grey, black, white, red, yellow, green, blue, green camo, green/brown camo, green/black camo,"
    " black/brown camo, white/red, white/blue, white/black, white/grey, yellow/green, blue/yellow, green/grey,"
    " grey/black, blue/yellow/black, yellow/black/red, yellow/red/grey",
    "missile": "grey, white, yellow, green, blue, white/red, grey/red, blue/white, black/white, green/black,"
    " black/yellow, white/black/grey",
    "drone": "grey, black, white, white/black, black/yellow, red/black, black/orange, white/black/red",
    "light aircraft": "grey, white, red, yellow, green, orange, white/blue, white/red, white/black, white/orange,"
    " grey/white, yellow/red, blue/red, red/white/blue",
    "commercial aircraft": "grey, white, yellow, blue, white/blue, white/red, white/yellow, white/orange, black/white,"
    " grey/red, blue/red, white/red/blue, grey/red/blue",
    "cargo aircraft": "grey, black, white, white/blue, white/black, grey/green, blue/yellow/white",
}


@dataclass(frozen=True)
class Livery:
    """What a caption asks for: a kind, one to three colour names (majority first), and whether they are camouflage."""

    kind: str
    colours: tuple[str, ...]
    camouflage: bool = False

    @property
    def caption(self) -> str:
        """The caption in the published spelling, e.g. `red, white, and blue fighter jet`."""
        names = self.colours
        paint = f"{', '.join(names[:-1])}, and {names[-1]}" if len(names) > 2 else " and ".join(names)
        return f"{paint}{' camouflage' if self.camouflage else ''} {self.kind}"


def parse_caption(caption: str) -> Livery:
    """Read a caption such as `green and brown camouflage helicopter`; raise InputError naming the unknown word."""
    text = " ".join(caption.lower().split())
    kind = next((kind for kind in KINDS if text.endswith(" " + kind)), None)
    if kind is None:
        raise InputError(f"caption {caption!r}: no known kind of target at its end{_kind_hint(text)}")
    words = [word for word in re.split(r"[,\s]+", text[: -len(kind)]) if word and word != "and"]
    camouflage = "camouflage" in words
    colours = tuple(word for word in words if word != "camouflage")
    for word in colours:
        if word not in COLOURS:
            raise InputError(f"caption {caption!r}: unknown colour {word!r}{_hint(word, tuple(COLOURS))}")
    if not 1 <= len(colours) <= 3 or len(set(colours)) < len(colours):
        raise InputError(f"caption {caption!r}: wants one to three different colours before {kind!r}")
    return Livery(kind, colours, camouflage)


def default_captions() -> list[str]:
    """Every caption of the default vocabulary, in table order."""
    liveries = []
    for kind, schemes in SCHEMES.items():
        for scheme in schemes.split(","):
            paint, _, mark = scheme.strip().partition(" ")
            liveries.append(Livery(kind, tuple(paint.split("/")), mark == "camo"))
    return [livery.caption for livery in liveries]


def _kind_hint(text: str) -> str:
    """The kind that the caption's last words are nearest to; kinds have one or two words."""
    words = text.split()
    return next((hint for n in (2, 1) if (hint := _hint(" ".join(words[-n:]), KINDS))), "")


def _hint(word: str, choices: tuple[str, ...]) -> str:
    near = nearest(word, choices)
    return f" (nearest: {near!r})" if near else ""
