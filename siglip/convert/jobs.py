"""The work of siglip.convert: find the tensors, clean their names, compare with the model, write."""

import shutil
from pathlib import Path
from typing import Any, Protocol

from core.errors import InputError
from core.files import read_json, write_json
from core.manifest import MANIFEST, verify_manifest, write_manifest
from siglip.convert.header import (
    Header,
    copy_renamed,
    finish_rename,
    read_header,
    refuse_unfinished,
    rename_in_place,
    renamed_metadata,
)
from siglip.convert.keys import clean_key, clean_keys, without_holder
from siglip.convert.settings import Cast
from siglip.convert.source import INDEX, WEIGHTS, Kind, Source, find_source
from siglip.convert.verify import model_shapes, verify
from siglip.convert.write import file_pieces, tensor_pieces, write_pieces

Shapes = dict[str, list[int]]
Expected = tuple[Shapes, dict[str, str]]  # the model's own tensors, and which of them are tied to which
_LEFT_BEHIND = {
    ".bin",
    ".pt",
    ".pth",
    ".safetensors",
    ".distcp",
}  # weights in their old form, optimizer and random state


def convert(
    path: Path, out: Path | None, *, compare: bool, in_place: bool, cast: Cast | None, dry_run: bool
) -> dict[str, Any]:
    """See `siglip.convert.run`."""
    source = find_source(path)
    checked = _check_source(source, in_place and not dry_run)
    expected: Expected | None = None
    if compare and source.has_config:
        expected = model_shapes(source.folder or path)
    elif compare:
        print(f"{path}: has no config to compare with, so the result is not verified")
    job: Job = _SafetensorsJob(source) if source.kind is Kind.safetensors else _TorchJob(source, expected)
    for old, new in list(job.changed.items())[: None if dry_run else 3]:
        print(f"{old} -> {new}")
    if expected is not None:
        verify(path, job.shapes, expected[0], set(expected[1]) | set(job.left_out))
    figures = {"num_tensors": len(job.shapes), "num_renamed": len(job.changed),
               "verified": str(expected is not None).lower(), "checksums": checked}  # fmt: skip
    if dry_run:
        return figures
    if in_place:
        if not isinstance(job, _SafetensorsJob):
            raise InputError(f"{source.path}: in_place rewrites safetensors headers only; give out=PATH")
        job.write_in_place()
    else:
        assert out is not None
        _write_out(source, job, out, cast)
    target = source.folder if in_place else out if source.folder is not None else None
    if target is not None and checked == "manifest":
        write_manifest(target)
    return figures


def _check_source(source: Source, in_place: bool) -> str:
    """Complete or refuse an interrupted rename, then compare with the folder's manifest where it has one."""
    finished = False
    for file in source.files if source.kind is Kind.safetensors else ():
        if in_place:
            finished |= finish_rename(file)
        else:
            refuse_unfinished(file)
    if source.folder is None or not (source.folder / MANIFEST).is_file():
        return "none"
    if not finished:  # after an interrupted rename the manifest still describes the old header
        verify_manifest(source.folder)
    return "manifest"


class Job(Protocol):
    """Tensors under their clean names, ready to be written."""

    shapes: Shapes
    changed: dict[str, str]  # old name -> new, where they differ
    left_out: dict[str, str]  # a tied tensor that the file leaves out -> the one that stands for it

    def write(self, target: Path, cast: Cast | None) -> None:
        """Write safetensors files into the folder `target`, or the one file as `target`."""


class _SafetensorsJob:
    """Names and writing of one or several safetensors files."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._headers = {file: read_header(file) for file in source.files}
        self._names = {file: clean_keys(h.entries, str(file)) for file, h in self._headers.items()}
        self.shapes: Shapes = {}
        for file, header in self._headers.items():
            for old, entry in header.entries.items():
                if self._names[file][old] in self.shapes:
                    raise InputError(f"{source.path}: two of its files hold a tensor of the same clean name, "
                                     f"{self._names[file][old]!r}")  # fmt: skip
                self.shapes[self._names[file][old]] = entry["shape"]
        self.changed = {old: new for names in self._names.values() for old, new in names.items() if old != new}
        self.left_out = {clean_key(k): v for h in self._headers.values() for k, v in _tied(h).items()}
        self._index = self._clean_index()

    def write_in_place(self) -> None:
        """New headers in the files themselves, then the index."""
        for file, names in self._names.items():
            if any(old != new for old, new in names.items()):
                rename_in_place(file, names)
        if self._index is not None:
            write_json(self._source.path / INDEX, self._index)

    def write(self, target: Path, cast: Cast | None) -> None:
        """Every file under its own name in the folder `target`, or the one file as `target`."""
        for file, names in self._names.items():
            to = target if self._source.folder is None else target / file.name
            if cast is None:
                copy_renamed(file, to, names)
            else:
                header = self._headers[file]
                write_pieces(to, file_pieces(file, header, names, cast), renamed_metadata(header, names))
        if self._index is not None:
            write_json(target / INDEX, self._index)

    def _clean_index(self) -> dict[str, Any] | None:
        """The index under clean names; InputError when it does not say where the tensors really are."""
        if self._source.folder is None or not (self._source.folder / INDEX).is_file():
            return None
        index = read_json(self._source.folder / INDEX)
        places = {clean_key(name): file for name, file in index["weight_map"].items()}
        found = {new: file.name for file, names in self._names.items() for new in names.values()}
        if places != found:
            wrong = sorted(set(places.items()) ^ set(found.items()))[0][0]
            raise InputError(f"{self._source.folder / INDEX}: field 'weight_map': wrong about tensor {wrong!r}")
        return {**index, "weight_map": places}


def _tied(header: Header) -> dict[str, str]:
    """Names that the file leaves out because another tensor stands for them, as safetensors' `save_model` notes it."""
    return {left: kept for left, kept in (header.metadata or {}).items() if kept in header.entries}


class _TorchJob:
    """Names and writing of tensors in PyTorch's own formats, which become one safetensors file."""

    def __init__(self, source: Source, expected: Expected | None) -> None:
        from siglip.convert.torch_files import read_dcp, read_torch_files, untie

        self._source = source
        stored = read_dcp(source.files[0]) if source.kind is Kind.dcp else read_torch_files(source.files)
        names, holder = without_holder(clean_keys(stored, str(source.path)), expected[0] if expected else None)
        if holder:
            print(f"{source.path}: not sure: every name began with {holder!r}, taken for what held the model; removed")
        self.changed = {old: new for old, new in names.items() if old != new}
        wanted = set(expected[0]) - set(expected[1]) if expected is not None else None
        self._tensors, self.left_out = untie({names[old]: tensor for old, tensor in stored.items()}, wanted)
        self.shapes: Shapes = {name: list(tensor.shape) for name, tensor in self._tensors.items()}

    def write(self, target: Path, cast: Cast | None) -> None:
        """One safetensors file: `target` itself, or `model.safetensors` in that folder."""
        to = target if self._source.folder is None else target / WEIGHTS
        pieces = tensor_pieces(self._tensors, cast, str(self._source.path))
        write_pieces(to, pieces, {"format": "pt", **self.left_out})


def _write_out(source: Source, job: Job, out: Path, cast: Cast | None) -> None:
    """Config, tokenizer and processor first, the weights last: a folder without weights is plainly unfinished."""
    if source.folder is None:
        if out.is_dir():
            raise InputError(f"out: {out} is a folder, the source a file")
        if out.resolve() == source.path.resolve():
            raise InputError(f"out: {out} is the source; in_place=true rewrites its header")
        job.write(out, cast)
        return
    if out.is_file():
        raise InputError(f"out: {out} is a file, the source a folder")
    if out.resolve() == source.folder.resolve():
        raise InputError(f"out: {out} is the source folder; in_place=true rewrites its headers")
    out.mkdir(parents=True, exist_ok=True)
    stale = [p.name for p in out.iterdir() if p.suffix == ".safetensors" or p.name == INDEX]
    if stale:
        raise InputError(f"out: {out} holds {stale[0]} already; name a new folder")
    for path in sorted(source.folder.iterdir()):
        keep = path.is_file() and path.suffix not in _LEFT_BEHIND and not path.name.endswith(".index.json")
        if keep and path.name != MANIFEST and not path.name.startswith("."):
            shutil.copy2(path, out / path.name)
    if cast is not None and (out / "config.json").is_file():
        write_json(out / "config.json", _with_dtype(read_json(out / "config.json"), cast))
    job.write(out, cast)


def _with_dtype(config: Any, cast: Cast) -> Any:
    """The config naming the new type wherever it names one: from_pretrained loads in the type it reads there."""
    name = {Cast.bf16: "bfloat16", Cast.fp16: "float16", Cast.fp32: "float32"}[cast]
    if not isinstance(config, dict):
        return config
    return {k: name if k in {"dtype", "torch_dtype"} and v is not None else _with_dtype(v, cast)
            for k, v in config.items()}  # fmt: skip
