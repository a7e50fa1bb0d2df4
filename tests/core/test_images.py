import io
import struct
import zlib

import numpy as np
import pytest
from harm import scan_bomb
from PIL import Image

import core.images
from core.errors import InputError
from core.images import MAX_PIXELS, decode_image, image_size, read_image, write_image
from core.jpeg import count_scans


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


SEGMENT = b"\xff\xfe\x00\x04ab"


def jpeg(image, *extra, **options):
    """An encoded JPEG with segments put in behind its start."""
    data = encoded(Image.fromarray(image), format="JPEG", **options)
    return data[:2] + b"".join(extra) + data[2:]


def test_jpeg_scans_and_segments_are_counted_as_pillow_reads_them():
    for options, scans in (({}, 1), ({"progressive": True}, 10), ({"progressive": True, "restart_marker_rows": 1}, 10)):
        assert count_scans(jpeg(scene(400, 300), **options))[0] == scans
    thumbnail = jpeg(scene(), progressive=True)
    app1 = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    assert count_scans(jpeg(scene(), app1) + scan_bomb(8, 30))[0] == 1  # neither inside a segment nor behind the end
    assert count_scans(scan_bomb(8, 100))[0] == 100
    assert count_scans(b"\xff" * 10_000_000)[0] == 0  # fill bytes: one pass
    assert count_scans(jpeg(scene(), *[SEGMENT] * 20))[1] - count_scans(jpeg(scene()))[1] == 20


@pytest.mark.parametrize("lead", [b"", b"\xff" * 5, b"junk", b"\xff\x02\xff\xf0", b"\xff\x01\xff\xd3"])
def test_nothing_hides_scans_from_the_count(lead):
    """Fill, rubbish, reserved markers with a length, restarts: libjpeg reads on behind them all."""
    assert count_scans(scan_bomb(8, 30_000, lead))[0] == 101


def test_a_jpeg_of_many_scans_or_segments_is_refused_before_it_is_decoded(monkeypatch, tmp_path):
    monkeypatch.setattr(core.images, "decode_pixels", None)
    monkeypatch.setattr(core.images, "_decode_apart", None)
    with pytest.raises(InputError, match=r"^x: more than 100 JPEG scans, the limit that GROUNDER_JPEG_SCANS sets$"):
        decode_image(scan_bomb(5000, 30_000), "x")
    with pytest.raises(InputError, match=r"^x: more than 10000 JPEG segments$"):
        decode_image(jpeg(scene(), *[SEGMENT] * 10_001), "x")
    (tmp_path / "x.jpg").write_bytes(scan_bomb(8, 101))
    with pytest.raises(InputError, match="more than 100 JPEG scans"):
        image_size(tmp_path / "x.jpg")
    monkeypatch.setenv("GROUNDER_JPEG_SCANS", "101")
    assert image_size(tmp_path / "x.jpg") == (8, 8)
    monkeypatch.setenv("GROUNDER_JPEG_SCANS", "many")
    with pytest.raises(InputError, match="'many' in the environment is no number of scans"):
        image_size(tmp_path / "x.jpg")


def test_what_may_take_long_is_decoded_apart_to_the_same_pixels_and_ended_at_its_limit():
    """Other formats than the plain four, and many pixels times passes, go to a process that can be ended."""
    tiff = encoded(Image.fromarray(scene()), format="TIFF", compression="tiff_lzw")
    assert np.array_equal(decode_image(tiff, "x"), scene())
    bomb = scan_bomb(5000, 100)
    assert np.array_equal(decode_image(bomb, "x", limit_s=60), core.images.decode_pixels(bomb, "x"))
    with pytest.raises(InputError, match=r"^x: cannot be decoded within 0.02 s$"):
        decode_image(bomb, "x", limit_s=0.02)
    assert np.array_equal(decode_image(tiff, "x"), scene())  # a new process took its place
