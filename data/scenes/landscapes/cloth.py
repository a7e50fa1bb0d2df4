"""Fast smooth noise and colour ramps, which drawn landscapes are made of."""

import cv2
import numpy as np
from numpy.typing import NDArray


def smooth_noise(
    rng: np.random.Generator, width: int, height: int, coarse: float, octaves: int = 6, gain: float = 0.5,
    aspect: float = 1.0,
) -> NDArray[np.float32]:  # fmt: skip
    """(height, width) float32 fractal noise of about zero mean and unit spread.

    `coarse` is the size in pixels of the largest features, `aspect` how much wider than high they are; every octave
    halves the size and multiplies the strength by `gain`. Built from the coarse end up, each step doubling the
    image, so that it costs little more than its last octave.
    """
    cells_x = max(int(np.ceil(width / (coarse * aspect))), 1) + 2
    cells_y = max(int(np.ceil(height / coarse)), 1) + 2
    field = _uniform(rng, cells_y, cells_x)
    strength, total = 1.0, 1.0
    for _ in range(octaves - 1):
        strength *= gain
        total += strength**2
        field = cv2.resize(field, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        field = field[: field.shape[0] - 1, : field.shape[1] - 1]
        field = field + _uniform(rng, *field.shape) * np.float32(strength)
    scale_x, scale_y = coarse * aspect * cells_x / field.shape[1], coarse * cells_y / field.shape[0]
    rows = min(int(np.ceil(height / scale_y)) + 1, field.shape[0])
    columns = min(int(np.ceil(width / scale_x)) + 1, field.shape[1])
    field = cv2.resize(field[:rows, :columns], (width, height), interpolation=cv2.INTER_LINEAR)
    return field * np.float32(1.9 / np.sqrt(total))


def _uniform(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    return rng.random((height, width), np.float32) - np.float32(0.5)


def ridge_line(rng: np.random.Generator, width: int, rough: float, coarse: float) -> NDArray[np.float32]:
    """(width,) a mountain or hill outline of about zero mean and unit spread; `rough` 0.35 (dunes) to 0.6 (peaks)."""
    line = np.zeros(width, np.float32)
    strength, step = 1.0, coarse
    places = np.arange(width)
    while step >= 2:
        knots = rng.random(int(width / step) + 3).astype(np.float32) - 0.5
        line += np.float32(strength) * np.interp(places / step + rng.random(), np.arange(len(knots)), knots)
        strength, step = strength * rough, step / 2
    return line * 2.0


def ramp(stops: list[tuple[float, tuple[float, float, float]]]) -> NDArray[np.uint8]:
    """(256, 1, 3) lookup table through colour `stops` (place 0..1, RGB 0..255), for `colourise`."""
    places = [place * 255 for place, _ in stops]
    table = np.stack([np.interp(np.arange(256), places, [colour[i] for _, colour in stops]) for i in range(3)], -1)
    return table.round().astype(np.uint8)[:, None]


def colourise(field: NDArray[np.float32], table: NDArray[np.uint8], low: float, high: float) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: `field` from `low` to `high` through a colour table."""
    index = cv2.convertScaleAbs(np.clip(field, low, high) - low, alpha=255.0 / (high - low))
    return cv2.applyColorMap(index, table)


def relief(field: NDArray[np.float32], sun: float, depth: float = 1.0) -> NDArray[np.float32]:
    """(H, W) how much each slope of a height field faces a low sun at side `sun` (-1 left, 1 right)."""
    right = cv2.Sobel(field, cv2.CV_32F, 1, 0, ksize=3)
    down = cv2.Sobel(field, cv2.CV_32F, 0, 1, ksize=3)
    return (right * np.float32(-sun) + down) * np.float32(depth)


def even(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """The field at unit spread, judged from a sample of its pixels."""
    return field * np.float32(1.0 / (float(field[::5, ::7].std()) + 1e-6))


def blend(under: NDArray[np.uint8], over: NDArray[np.uint8], mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W, 3) `over` laid on `under` where `mask` (H, W) in 0..1 says so."""
    return cv2.blendLinear(over, under, mask, np.float32(1.0) - mask)
