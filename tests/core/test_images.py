import io
import struct
import zlib

import numpy as np
import pytest
from harm import scan_bomb
from PIL import Image, ImageOps

import core.images
from core.decoding import MAX_PIXELS
from core.errors import InputError
from core.images import decode_image, deep_levels, image_size, read_image, write_image
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


FORMS = {"JPEG": {"quality": 100, "subsampling": 0}, "MPO": {"quality": 100, "subsampling": 0}, "PNG": {},
         "WEBP": {"lossless": True}, "TIFF": {}, "AVIF": {"quality": 100}}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_pixels_and_size_alike_in_every_format_that_carries_it(form, orientation, tmp_path):
    """Pillow's own exif_transpose is the reference; the size is the decoded image's, the header's alone."""
    stored = np.zeros((24, 32, 3), np.uint8)
    stored[:8, 16:] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    block = exif if form == "TIFF" else exif.tobytes()
    path = tmp_path / "a.x"
    path.write_bytes(encoded(Image.fromarray(stored), format=form, exif=block, **FORMS[form]))
    with Image.open(path) as image:
        shown = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    read = read_image(path)
    assert image_size(path) == read.shape[1::-1] == shown.shape[1::-1]
    assert np.abs(read.astype(int) - shown).max() <= 12


def test_a_png_may_carry_its_exif_behind_the_pixels_and_broken_exif_turns_nothing(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = encoded(Image.fromarray(scene()), format="PNG")
    block = exif.tobytes()[6:]
    late = plain[:-12] + chunk(b"eXIf", block) + plain[-12:]
    (tmp_path / "late.png").write_bytes(late)
    assert image_size(tmp_path / "late.png") == read_image(tmp_path / "late.png").shape[1::-1] == (30, 40)
    (tmp_path / "broken.png").write_bytes(plain[:-12] + chunk(b"eXIf", b"II*" + block[5:20]) + plain[-12:])
    assert image_size(tmp_path / "broken.png") == read_image(tmp_path / "broken.png").shape[1::-1] == (40, 30)


def test_what_follows_an_images_end_is_not_its_own():
    """Motion photos, panoramas and edited screenshots: a video, another image, a trailer behind the end."""
    rng = np.random.default_rng(1)
    whole = encoded(Image.fromarray(scene()), format="JPEG", quality=100, subsampling=0)
    png = encoded(Image.fromarray(scene()), format="PNG")
    for _ in range(5):
        video = b"\0\0\0\x18ftypmp42" + rng.integers(0, 256, 100_000, np.uint8).tobytes() + b"\xff\xda"
        assert np.array_equal(decode_image(whole + video, "x"), decode_image(whole, "x"))
        assert np.array_equal(decode_image(png + video, "x"), scene())
    thumbnail = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(whole) + 2) + whole + whole[2:]
    for length in range(len(whole) + 10, len(thumbnail) - 1, 97):  # the thumbnail's end is not the image's
        with pytest.raises(InputError, match=r"^cut: "):
            decode_image(thumbnail[:length], "cut")


def test_deep_images_keep_their_high_byte_or_are_stretched_by_setting(monkeypatch):
    """A thermal camera's 600 of 65536 levels: 3 or 4 grey values by the high byte, all that 8 bits hold stretched."""
    kelvin = (7000 + np.arange(1200).reshape(30, 40) // 2).astype(np.uint16)
    for form in ("PNG", "TIFF"):
        data = encoded(Image.fromarray(kelvin), format=form)
        assert len(np.unique(decode_image(data, "x"))) == 3
        used, levels = deep_levels(data, "x")
        assert used == pytest.approx(600 / 2**16)
        assert levels == 600
        monkeypatch.setenv("GROUNDER_DEPTH", "stretch")
        shown = decode_image(data, "x")
        expected = np.rint((kelvin.astype(float) - 7000) * 255 / 599)
        assert np.abs(shown[..., 0] - expected).max() <= 1
        assert np.array_equal(shown[..., 0], shown[..., 2])
        eight = encoded(Image.fromarray(scene()), format=form)
        assert np.array_equal(decode_image(eight, "x"), scene())
        assert deep_levels(eight, "x") is None
        monkeypatch.delenv("GROUNDER_DEPTH")
    monkeypatch.setenv("GROUNDER_DEPTH", "deep")
    with pytest.raises(InputError, match="'deep' in the environment is not high_byte or stretch"):
        decode_image(data, "x")


def test_the_largest_image_is_a_setting_that_the_message_names(monkeypatch):
    data = encoded(Image.fromarray(scene()), format="PNG")
    monkeypatch.setenv("GROUNDER_MAX_PIXELS", "1199")
    with pytest.raises(InputError, match=r"40 x 30 pixels .* limit of 1199, which decoding.max_pixels or GROUNDER_MAX"):
        decode_image(data, "x")
    monkeypatch.setenv("GROUNDER_MAX_PIXELS", "1200")
    assert decode_image(data, "x").shape == (30, 40, 3)
    monkeypatch.setenv("GROUNDER_MAX_PIXELS", "many")
    with pytest.raises(InputError, match="'many' in the environment is no number of pixels"):
        decode_image(data, "x")


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


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width, height):
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
