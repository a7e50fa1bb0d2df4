"""The suspects with their images as one page without any reference to the outside."""

import base64
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from eval.labels.signs import KINDS, Sign
from eval.report.gallery import Images


def page(found: Sequence[Sign], folder: str | None) -> str:
    """The page; folder: of the images, None where it is not known. An image outside it is not shown."""
    from jinja2 import Environment, StrictUndefined

    images = Images(Path(folder) if folder and Path(folder).is_dir() else None)
    known = {name: images.show(name, np.zeros((0, 4))) for name in dict.fromkeys(sign.image for sign in found)}
    cards: list[dict[str, Any]] = []
    for rank, sign in enumerate(found, 1):
        shown = known[sign.image]
        about: dict[str, Any] = {"size": None, "image": ""}
        if shown is not None:
            about = {"size": shown.size, "image": base64.b64encode(shown.thumbnail).decode()}
        cards.append({"rank": rank, "sign": sign, "why": KINDS[sign.kind], **about})
    text = (files("eval.suspects") / "assets" / "suspects.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text).render(cards=cards)
