"""What one-stage models said, in the store: `grounded/<key>/<image digest>/<caption digest>.npz`, whole files each.

Choices of a re-ranker stand beside them: `choices/<key>/<image digest>/<question digest>.json`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.files import read_json, sha256_bytes, write_json
from core.stages import View
from core.store import CandidateStore, read_arrays, write_arrays
from core.values import Candidates, Grounded

FLAGS = ("scored", "truncated", "unparsed")


@dataclass(frozen=True)
class Said:
    """A one-stage model's answer to one caption of an image: a view for the whole image and for each slice.

    The flags are those of `core.values.Grounded`: scored of all views, the others of any; tokens are their sum.
    """

    views: tuple[View, ...]
    scored: bool = True
    truncated: bool = False
    unparsed: bool = False
    tokens: int = 0

    @staticmethod
    def of(views: Sequence[tuple[str, Grounded]]) -> "Said":
        """The answers of the views by name as one."""
        found = [g for _, g in views]
        return Said(
            tuple(View(name, g.candidates) for name, g in views), all(g.scored for g in found),
            any(g.truncated for g in found), any(g.unparsed for g in found), sum(g.tokens for g in found),
        )  # fmt: skip


def _path(store: CandidateStore, kind: str, key: str, digest: str, name: str) -> Path:
    return store.folder / kind / key / digest / name


def _caption_digest(caption: str) -> str:
    return sha256_bytes(caption.encode())[:32]


def has_said(store: CandidateStore, key: str, digest: str, caption: str) -> bool:
    """Whether a model's answer to a caption of an image is there."""
    return _path(store, "grounded", key, digest, f"{_caption_digest(caption)}.npz").is_file()


def write_said(store: CandidateStore, key: str, digest: str, caption: str, said: Said) -> None:
    """Keep an answer."""
    arrays: dict[str, NDArray[Any]] = {
        "caption": np.asarray(caption, np.str_),
        "names": np.asarray([v.name for v in said.views], np.str_),
        "flags": np.asarray([getattr(said, name) for name in FLAGS]),
        "tokens": np.asarray(said.tokens, np.int64),
    }
    for number, view in enumerate(said.views):
        arrays[f"boxes_{number}"] = view.candidates.boxes_xyxy.astype(np.float32)
        arrays[f"confidence_{number}"] = view.candidates.confidence.astype(np.float32)
    write_arrays(_path(store, "grounded", key, digest, f"{_caption_digest(caption)}.npz"), arrays)


def read_said(store: CandidateStore, key: str, digest: str, caption: str) -> Said:
    """An answer; InputError when it is missing or damaged."""
    arrays = read_arrays(_path(store, "grounded", key, digest, f"{_caption_digest(caption)}.npz"))
    views = [
        View(str(name), Candidates(arrays[f"boxes_{i}"], arrays[f"confidence_{i}"]))
        for i, name in enumerate(arrays["names"])
    ]
    scored, truncated, unparsed = map(bool, arrays["flags"])
    return Said(tuple(views), scored, truncated, unparsed, int(arrays["tokens"]))


def read_choice(store: CandidateStore, key: str, digest: str, question: str) -> dict[str, Any] | None:
    """A re-ranker's stored choice, None where it was never asked."""
    path = _path(store, "choices", key, digest, f"{question}.json")
    if not path.is_file():
        return None
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: damaged; remove it and export again")
    return value


def write_choice(store: CandidateStore, key: str, digest: str, question: str, choice: dict[str, Any]) -> None:
    """Keep a choice."""
    write_json(_path(store, "choices", key, digest, f"{question}.json"), choice)
