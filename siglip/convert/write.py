"""Writing a safetensors file piece by piece, casting on the way; memory stays small whatever the tensors' size."""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.files import open_atomic
from siglip.convert.header import DTYPE_BITS, Header
from siglip.convert.settings import Cast

if TYPE_CHECKING:
    import torch

_PIECE_BYTES = 8 << 20


TORCH_NAMES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "F8_E5M2": "float8_e5m2", "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu", "U16": "uint16", "I16": "int16", "F16": "float16", "BF16": "bfloat16",
    "U32": "uint32", "I32": "int32", "F32": "float32", "U64": "uint64", "I64": "int64", "F64": "float64",
    "C64": "complex64",
}  # fmt: skip
CASTABLE = {"F16", "BF16", "F32", "F64"}
CAST_DTYPES = {Cast.bf16: "BF16", Cast.fp16: "F16", Cast.fp32: "F32"}


@dataclass(frozen=True)
class Piece:
    """A tensor to write: its name, the dtype and shape it will have, and where its bytes come from."""

    name: str
    dtype: str
    shape: list[int]
    chunks: Iterable[bytes]


def write_pieces(target: Path, pieces: Iterable[Piece], metadata: Mapping[str, str] | None) -> None:
    """Write a safetensors file atomically, wide dtypes first, as the library does, so that every tensor is aligned."""
    ordered = sorted(pieces, key=lambda p: (-DTYPE_BITS[p.dtype], p.name))
    value: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for piece in ordered:
        start, end = end, end + prod(piece.shape) * DTYPE_BITS[piece.dtype] // 8
        value[piece.name] = {"dtype": piece.dtype, "shape": piece.shape, "data_offsets": [start, end]}
    raw = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    raw = raw.ljust(-(-len(raw) // 8) * 8)
    with open_atomic(target) as stream:
        stream.write(struct.pack("<Q", len(raw)) + raw)
        for piece in ordered:
            stream.writelines(piece.chunks)
        if stream.tell() != 8 + len(raw) + end:
            raise RuntimeError(f"{target}: wrote {stream.tell() - 8 - len(raw)} bytes of data, not {end}")


def file_pieces(path: Path, header: Header, names: Mapping[str, str], cast: Cast) -> list[Piece]:
    """The tensors of a safetensors file under their new names, floating-point ones cast."""
    pieces = []
    for old, entry in header.entries.items():
        dtype = CAST_DTYPES[cast] if entry["dtype"] in CASTABLE else entry["dtype"]
        start, stop = (8 + header.length + offset for offset in entry["data_offsets"])
        chunks = _cast_file(path, old, entry["dtype"], dtype, start, stop)
        pieces.append(Piece(names[old], dtype, entry["shape"], chunks))
    return pieces


def _cast_file(path: Path, name: str, dtype: str, target: str, start: int, stop: int) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        stream.seek(start)
        while start < stop:
            raw = stream.read(min(_PIECE_BYTES, stop - start))
            if not raw:
                raise InputError(f"{path}: became shorter while it was read")
            start += len(raw)
            yield raw if dtype == target else _cast(raw, dtype, target, f"{path}: tensor {name!r}")


def _cast(raw: bytes, dtype: str, target: str, where: str) -> bytes:
    import torch

    values = torch.frombuffer(bytearray(raw), dtype=getattr(torch, TORCH_NAMES[dtype]))
    return tensor_bytes(checked_cast(values, target, where))


def checked_cast(values: "torch.Tensor", target: str, where: str) -> "torch.Tensor":
    """The values in another floating-point type; InputError when a finite one becomes infinite."""
    import torch

    cast = values.to(getattr(torch, TORCH_NAMES[target]))
    if bool((torch.isinf(cast) & torch.isfinite(values)).any()):
        raise InputError(f"{where}: a value is too large for {target}")
    return cast


def tensor_bytes(values: "torch.Tensor") -> bytes:
    """A tensor's bytes in row-major order."""
    import torch

    flat = values.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def tensor_pieces(tensors: Mapping[str, "torch.Tensor"], cast: Cast | None, where: str) -> list[Piece]:
    """Tensors in memory as pieces, floating-point ones cast."""
    own_names = {f"torch.{torch_name}": name for name, torch_name in TORCH_NAMES.items()}
    pieces = []
    for name, tensor in tensors.items():
        dtype = own_names.get(str(tensor.dtype))
        if dtype is None:
            raise InputError(f"{where}: tensor {name!r}: safetensors holds no {tensor.dtype}")
        target = CAST_DTYPES[cast] if cast is not None and dtype in CASTABLE else dtype
        pieces.append(Piece(name, target, list(tensor.shape), _tensor_chunks(tensor, dtype, target, where)))
    return pieces


def _tensor_chunks(tensor: "torch.Tensor", dtype: str, target: str, where: str) -> Iterator[bytes]:
    yield tensor_bytes(tensor if dtype == target else checked_cast(tensor, target, where))
