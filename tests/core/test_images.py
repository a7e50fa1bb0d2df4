import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from core.errors import InputError
from core.images import MAX_PIXELS, decode_image, image_size, read_image, write_image


def scene(width=40, height=30):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def test_png_round_trip_is_exact_and_rgb(tmp_path):
    write_image(tmp_path / "a.png", scene())
    assert np.array_equal(read_image(tmp_path / "a.png"), scene())
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), scene())
    assert image_size(tmp_path / "a.png") == (40, 30)


def encoded(image, **options):
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


def test_exif_rotation_is_applied_to_pixels_and_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(encoded(Image.fromarray(scene()), format="JPEG", exif=exif))
    assert read_image(tmp_path / "a.jpg").shape == (40, 30, 3)
    assert image_size(tmp_path / "a.jpg") == (30, 40)


@pytest.mark.parametrize("mode", ["L", "CMYK", "I;16", "P", "RGBA", "1"])
def test_every_colour_form_becomes_rgb(mode):
    if mode == "I;16":
        image = Image.fromarray((np.arange(1200).reshape(30, 40) * 50).astype(np.uint16))
        data = encoded(image, format="PNG")
    else:
        data = encoded(Image.fromarray(scene()).convert(mode), format="TIFF" if mode == "CMYK" else "PNG")
    decoded = decode_image(data, "x")
    assert decoded.shape == (30, 40, 3)
    assert decoded.dtype == np.uint8


def test_cmyk_jpeg_keeps_its_colours():
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 220
    data = encoded(Image.fromarray(red).convert("CMYK"), format="JPEG", quality=100)
    assert np.abs(decode_image(data, "x").astype(int) - red).max() < 30


def test_one_pixel():
    data = encoded(Image.fromarray(scene(1, 1)), format="PNG")
    assert decode_image(data, "x").shape == (1, 1, 3)


def bomb(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_bomb_is_refused_by_its_header():
    with pytest.raises(InputError, match=rf"bomb.png: 30000 x 30000 pixels are more than the limit of {MAX_PIXELS}"):
        decode_image(bomb(30000, 30000), "bomb.png")


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"GIF89a", b"not an image", bomb(10, 10)])
def test_broken_data_is_one_line(data):
    with pytest.raises(InputError, match="^broken.png: "):
        decode_image(data, "broken.png")


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_every_truncation_is_told(form):
    data = encoded(Image.fromarray(scene()), format=form)
    assert decode_image(data, "whole").shape == (30, 40, 3)
    for length in range(0, len(data) - 1, 37):
        with pytest.raises(InputError, match=r"^cut\.x: "):
            decode_image(data[:length], "cut.x")


def test_missing_file_is_named():
    with pytest.raises(InputError, match="nowhere.png: cannot be read"):
        read_image("nowhere.png")
