"""Which images a folder holds, and where an image of a given name lies; for every command alike."""

import os
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# What is decoded here, in letters of any case.
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".jp2", ".avif",
    ".gif", ".pbm", ".pgm", ".ppm", ".pnm",
)  # fmt: skip
SHOWN = 3  # names of what was passed over


@dataclass(frozen=True)
class Listing:
    """The files below a folder, links to folders followed, sorted; names are relative to it, with `/`.

    names: the images. others: what is no image by its suffix or leads nowhere. hidden: images whose own or whose
    folder's name begins with a dot, such as `._a.jpg`, which systems leave behind.
    """

    names: tuple[str, ...]
    others: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    def say_passed_over(self, folder: str | os.PathLike[str], used: tuple[str, ...] = ()) -> None:
        """Tell on standard error, in one line, what was passed over; `used` are suffixes that somebody else reads."""
        others = [name for name in self.others if suffix_of(name) not in used]
        kinds = Counter(suffix_of(name) or "no suffix" for name in others)
        parts = [f"{number} {kind}" for kind, number in kinds.most_common()]
        parts += [f"{len(self.hidden)} hidden"] if self.hidden else []
        if parts:
            passed = [*others, *self.hidden]
            first = ", ".join(passed[:SHOWN]) + (", ..." if len(passed) > SHOWN else "")
            files = "file" if len(passed) == 1 else "files"
            print(f"{folder}: passed over {len(passed)} {files} ({', '.join(parts)}): {first}", file=sys.stderr)


def is_image(name: str | os.PathLike[str]) -> bool:
    """Whether a name ends as images that are decoded here do."""
    return suffix_of(name) in IMAGE_SUFFIXES


def suffix_of(name: str | os.PathLike[str]) -> str:
    """The last suffix of a name, small."""
    return Path(name).suffix.lower()


def list_images(folder: str | os.PathLike[str]) -> Listing:
    """Everything below a folder; a link that leads back into itself is among the others."""
    root = Path(folder)
    images: list[str] = []
    others: list[str] = []
    hidden: list[str] = []
    waiting = [(root, frozenset({root.resolve()}), False)]
    while waiting:
        inner, above, is_hidden = waiting.pop()
        for path in sorted(inner.iterdir()):
            name, dotted = path.relative_to(root).as_posix(), is_hidden or path.name.startswith(".")
            if path.is_dir() and path.resolve() not in above:
                waiting.append((path, above | {path.resolve()}, dotted))
            elif dotted:
                hidden += [name] if is_image(name) else []
            else:
                (images if is_image(name) and path.is_file() else others).append(name)
    return Listing(tuple(sorted(images)), tuple(sorted(others)), tuple(sorted(hidden)))


def image_path(folder: str | os.PathLike[str], name: str) -> Path:
    """Where the image of this name lies in its folder, whether it is there or not.

    Names of files may be composed or decomposed Unicode (`é` in one sign or two); where the name as written is not
    there, the other form is looked for, part by part.
    """
    path = Path(folder) / name
    if name.isascii() or path.exists():
        return path
    found = Path(folder)
    for part in name.split("/"):
        forms = (found / form for form in (part, *(unicodedata.normalize(kind, part) for kind in ("NFC", "NFD"))))
        there = next((form for form in forms if form.exists()), None)
        if there is None:
            return path
        found = there
    return found
