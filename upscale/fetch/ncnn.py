"""Reading a convolutional network in ncnn's two files, without running or unpickling anything.

`.param` is text: the number 7767517, two counts, then a layer a line. `.bin` holds, in the order of the layers, each
convolution's weights behind a 4-byte tag, its float32 biases, and PReLU slopes in float32 without a tag.
Source: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure; the tags are ModelBinFromDataReader's.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

MAGIC = "7767517"
HALF, SINGLE = 0x01306B47, 0  # tags of half and single precision
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A line of `.param`: `settings` are its numbered settings as text, an array's count left out."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict[int, str]

    def whole(self, number: int, default: int = 0) -> int:
        """A setting that is a whole number."""
        return int(self.settings.get(number, default))


@dataclass(frozen=True)
class Weights:
    """What one layer learned: a convolution's (out, in, height, width) weights and biases, or a PReLU's slopes."""

    layer: Layer
    weight: Array
    bias: Array | None = None


def read_layers(param: bytes, where: str) -> list[Layer]:
    """The layers of a `.param` file, in the order of execution; InputError naming the line that is wrong."""
    lines = param.decode("ascii", "replace").splitlines()
    if len(lines) < 2 or lines[0].strip() != MAGIC:
        raise InputError(f"{where} line 1: not ncnn's text form of a network, which begins with {MAGIC}")
    layers = [_layer(line, f"{where} line {number}") for number, line in enumerate(lines[2:], 3) if line.strip()]
    told = lines[1].split()[0]
    if told != str(len(layers)):
        raise InputError(f"{where} line 2: tells of {told} layers, the file holds {len(layers)}")
    return layers


def _layer(line: str, where: str) -> Layer:
    words = line.split()
    try:
        kind, name, num_inputs, num_outputs = words[0], words[1], int(words[2]), int(words[3])
        blobs, settings = words[4 : 4 + num_inputs + num_outputs], words[4 + num_inputs + num_outputs :]
        pairs = [setting.split("=", 1) for setting in settings]
        numbered = {int(number): value for number, value in pairs}
    except (IndexError, ValueError) as error:
        raise InputError(f"{where}: not a layer of ncnn's text form") from error
    return Layer(kind, name, tuple(blobs[:num_inputs]), tuple(blobs[num_inputs:]), numbered)


def read_weights(layers: list[Layer], data: bytes, where: str) -> list[Weights]:
    """The weights of every layer that has some, as float32; InputError for too few or too many bytes."""
    reader = _Reader(data, where)
    found = []
    for layer in layers:
        if layer.kind == "Convolution":
            out, side, numbers = layer.whole(0), layer.whole(1), layer.whole(6)
            if out < 1 or side < 1 or numbers < 1 or numbers % (out * side * side):
                raise InputError(f"{where}: {layer.name}: {numbers} weights do not fill {out} filters of {side}x{side}")
            weight = reader.tagged(numbers, layer.name).reshape(out, -1, side, side)
            found.append(Weights(layer, weight, reader.single(out, layer.name) if layer.whole(5) else None))
        elif layer.kind == "PReLU":
            found.append(Weights(layer, reader.single(layer.whole(0), layer.name)))
    reader.finish()
    return found


class _Reader:
    """Takes numbers off the front of a `.bin` file."""

    def __init__(self, data: bytes, where: str) -> None:
        self._data, self._where, self._place = data, where, 0

    def _take(self, num_bytes: int, layer: str) -> bytes:
        taken = self._data[self._place : self._place + num_bytes]
        if len(taken) < num_bytes:
            raise InputError(
                f"{self._where}: ends after {len(self._data)} bytes, inside {layer}, "
                f"which needs {num_bytes} from byte {self._place} on"
            )
        self._place += num_bytes
        return taken

    def single(self, numbers: int, layer: str) -> Array:
        return np.frombuffer(self._take(4 * numbers, layer), "<f4").astype(np.float32)

    def tagged(self, numbers: int, layer: str) -> Array:
        (tag,) = struct.unpack("<I", self._take(4, layer))
        if tag == SINGLE:
            return self.single(numbers, layer)
        if tag != HALF:
            raise InputError(f"{self._where}: {layer}: tag {tag:#010x} is neither half nor single precision")
        padded = self._take(2 * numbers + 2 * numbers % 4, layer)
        return np.frombuffer(padded, "<f2", count=numbers).astype(np.float32)

    def finish(self) -> None:
        if self._place != len(self._data):
            raise InputError(f"{self._where}: {len(self._data) - self._place} bytes are left after the last layer")
