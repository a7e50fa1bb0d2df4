"""Writing safetensors the same to the last byte every time.

A policy names weights by their file's digest, and safetensors' own writer promises no order of its metadata.
Source: https://github.com/huggingface/safetensors, "Format".
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from core.files import sha256_bytes, write_bytes
from upscale.fetch.ncnn import Array


def write_safetensors(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """Write float32 tensors with their metadata, atomically; returns the file's sha256."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [end, end + tensor.nbytes]}
        end += tensor.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begins at a multiple of 8
    parts = [struct.pack("<Q", len(text)), text, *(t.astype("<f4").tobytes() for t in tensors.values())]
    data = b"".join(parts)
    write_bytes(path, data)
    return sha256_bytes(data)
