"""The store `candidates/`: what the models said, keyed by content, so that a sweep never asks them twice.

    candidates/
      sets/<id>.json                     image names of one export and the digest of each image's content
      proposals/<detector key>/about.json    what the detector is
      proposals/<detector key>/<image digest>.npz    every view's boxes before NMS
      embeddings/<upscaler key>-<scorer key>/about.json
      embeddings/<upscaler key>-<scorer key>/<image digest>.npz    (K, 4) pixel boxes and their (K, D) embeddings
      texts/<scorer key>.npz             captions and their (M, D) embeddings

Every file is written whole under a temporary name and renamed, so a kill or two writers at once leave no torn entry:
equal keys mean equal content, and what grows (embeddings of one image, texts) is merged under a lock.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.files import folder_lock, open_atomic, read_json, sha256_bytes, write_json
from core.stages import View
from core.texts import alike
from core.values import Candidates


def image_digest(image: NDArray[np.uint8]) -> str:
    """The content key of a decoded image: the SHA-256 of its shape and pixels, shortened to 32 digits."""
    return sha256_bytes(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes())[:32]


class CandidateStore:
    """Reads and extends one `candidates/` folder."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    # sets: which image has which content

    def write_set(self, digests: Mapping[str, str], sizes: Mapping[str, tuple[int, int]]) -> str:
        """Record the images of one export by name: their digests and (width, height); returns the set's id."""
        rows = [{"image": n, "digest": digests[n], "size": list(sizes[n])} for n in sorted(digests)]
        identity = sha256_bytes("\n".join(f"{r['image']} {r['digest']}" for r in rows).encode())[:16]
        write_json(self.folder / "sets" / f"{identity}.json", {"images": rows})
        return identity

    def find_digests(self, images: Sequence[str]) -> dict[str, str]:
        """The digest of each named image, from the set that holds them all.

        Raises InputError when no set covers the images, or two do with different content.
        """
        covering: dict[str, dict[str, str]] = {}
        best_missing: list[str] = list(images)
        for path in sorted((self.folder / "sets").glob("*.json")):
            known = {row["image"]: row["digest"] for row in read_json(path)["images"]}
            held = alike(images, known)
            missing = [name for name in images if held[name] not in known]
            if not missing:
                covering[path.stem] = {name: known[held[name]] for name in images}
            elif len(missing) < len(best_missing):
                best_missing = missing
        if not covering:
            shown = ", ".join(best_missing[:3])
            raise InputError(
                f"{self.folder}: holds no candidates for {len(best_missing)} of the truth's images ({shown}, ...)"
            )
        found = list(covering.values())
        if any(f != found[0] for f in found[1:]):
            raise InputError(f"{self.folder}: {len(covering)} exports of these image names hold different images; "
                             "give each graded copy of a set its own candidates folder")  # fmt: skip
        return found[0]

    # proposals: boxes per detector and view before NMS

    def describe(self, kind: str, key: str, about: Mapping[str, Any]) -> None:
        """Record what a key stands for; kind is `proposals` or `embeddings`."""
        path = self.folder / kind / key / "about.json"
        if not path.is_file():
            write_json(path, dict(about))

    def known(self, kind: str) -> dict[str, dict[str, Any]]:
        """Every key of a kind and what it stands for."""
        return {p.parent.name: read_json(p) for p in sorted((self.folder / kind).glob("*/about.json"))}

    def has_views(self, detector_key: str, digest: str) -> bool:
        """Whether the detector's proposals for an image are there."""
        return (self.folder / "proposals" / detector_key / f"{digest}.npz").is_file()

    def write_views(self, detector_key: str, digest: str, views: Sequence[View]) -> None:
        """Keep the views of one image."""
        arrays: dict[str, NDArray[Any]] = {"names": np.asarray([v.name for v in views], dtype=np.str_)}
        for number, view in enumerate(views):
            arrays[f"boxes_{number}"] = view.candidates.boxes_xyxy.astype(np.float32)
            arrays[f"confidence_{number}"] = view.candidates.confidence.astype(np.float32)
        write_arrays(self.folder / "proposals" / detector_key / f"{digest}.npz", arrays)

    def read_views(self, detector_key: str, digest: str) -> list[View]:
        """The views of one image; InputError when they are missing or damaged."""
        arrays = read_arrays(self.folder / "proposals" / detector_key / f"{digest}.npz")
        return [
            View(str(name), Candidates(arrays[f"boxes_{i}"], arrays[f"confidence_{i}"]))
            for i, name in enumerate(arrays["names"])
        ]

    # embeddings: one vector per distinct crop

    def read_embeddings(self, key: str, digest: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """(K, 4) pixel boxes and (K, D) embeddings of an image's crops; (0, 4) and (0, 0) when there are none yet."""
        path = self.folder / "embeddings" / key / f"{digest}.npz"
        if not path.is_file():
            return np.zeros((0, 4), np.int32), np.zeros((0, 0), np.float32)
        arrays = read_arrays(path)
        return arrays["pixel_boxes"], arrays["embeddings"]

    def add_embeddings(
        self, key: str, digest: str, pixel_boxes_K4: NDArray[np.int32], embeddings_KD: NDArray[np.float32]
    ) -> None:
        """Add crops' embeddings to those of an image; a box that is there already keeps its first embedding."""
        folder = self.folder / "embeddings" / key
        with folder_lock(folder):
            boxes, embeddings = self.read_embeddings(key, digest)
            known = set(map(tuple, boxes.tolist()))
            fresh = [i for i, box in enumerate(pixel_boxes_K4.tolist()) if tuple(box) not in known]
            if len(boxes):
                boxes = np.concatenate([boxes, pixel_boxes_K4[fresh]])
                embeddings = np.concatenate([embeddings, embeddings_KD[fresh]])
            else:
                boxes, embeddings = pixel_boxes_K4[fresh], embeddings_KD[fresh]
            arrays = {"pixel_boxes": boxes.astype(np.int32), "embeddings": embeddings.astype(np.float32)}
            write_arrays(folder / f"{digest}.npz", arrays)

    # texts: one vector per caption

    def read_texts(self, scorer_key: str) -> dict[str, NDArray[np.float32]]:
        """Each known caption's (D,) embedding."""
        path = self.folder / "texts" / f"{scorer_key}.npz"
        if not path.is_file():
            return {}
        arrays = read_arrays(path)
        if arrays["captions"].dtype.kind == "U":  # of before 2026-11-28: every text as long as the longest
            captions = arrays["captions"].tolist()
        else:
            captions = json.loads(arrays["captions"].tobytes())
        return dict(zip(captions, arrays["embeddings"], strict=True))

    def add_texts(self, scorer_key: str, captions: Sequence[str], embeddings_MD: NDArray[np.float32]) -> None:
        """Add captions' embeddings."""
        with folder_lock(self.folder / "texts"):
            known = self.read_texts(scorer_key)
            known |= dict(zip(captions, embeddings_MD, strict=True))
            captions_json = json.dumps(list(known)).encode("ascii")
            arrays: dict[str, NDArray[Any]] = {
                "captions": np.frombuffer(captions_json, np.uint8), "embeddings": np.stack(list(known.values())),
            }  # fmt: skip
            write_arrays(self.folder / "texts" / f"{scorer_key}.npz", arrays)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays to one entry of the store, atomically."""
    with open_atomic(path) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an entry; InputError when it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as error:
        raise InputError(f"{path}: not in the store") from error
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: damaged ({error}); remove it and export again") from error
