"""Which images a folder holds, and where one of a given name lies."""

import unicodedata

import pytest

from core.listing import image_path, list_images
from detector.predict import PredictConfig, _names


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_links_subfolders_and_suffixes_are_images_and_the_rest_is_counted_and_named(tmp_path, capfd):
    touch(
        tmp_path / "in", "a.jpg", "b.JPG", "deep/er/c.jp2", "notes.txt", "raw.dng", "no_suffix", "._a.jpg", ".git/x.png"
    )
    touch(tmp_path / "store", "d.avif", "e.gif", "f.jfif", "g.mpo")
    (tmp_path / "in/link").symlink_to(tmp_path / "store")
    (tmp_path / "store/back").symlink_to(tmp_path / "in")
    (tmp_path / "in/broken.png").symlink_to("nowhere")
    images = ["a.jpg", "b.JPG", "deep/er/c.jp2", "link/d.avif", "link/e.gif", "link/f.jfif", "link/g.mpo"]
    assert _names(PredictConfig(images=str(tmp_path / "in"))) == images
    said = capfd.readouterr().err
    assert "passed over 7 files (" in said
    assert all(kind in said for kind in ("2 no suffix", "1 .png", "1 .txt", "1 .dng", "2 hidden", "): broken.png, "))
    listing = list_images(tmp_path / "in")
    assert listing.others == ("broken.png", "link/back", "no_suffix", "notes.txt", "raw.dng")
    assert listing.hidden == ("._a.jpg", ".git/x.png")
    list_images(tmp_path / "store/back").say_passed_over("x", used=(".txt", ".dng", ".png", ""))
    assert "2 hidden" in capfd.readouterr().err


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_found_in_either_form_of_unicode(tmp_path, form):
    """macOS decomposes the names of files, label tools compose them; each part of a path may differ."""
    there, asked = "zürich/évian.png", unicodedata.normalize("NFD" if form == "NFC" else "NFC", "zürich/évian.png")
    there = unicodedata.normalize(form, there)
    touch(tmp_path, there)
    assert image_path(tmp_path, asked).is_file()
    assert image_path(tmp_path, there) == tmp_path / there
    mixed = f"{asked.split('/')[0]}/{there.split('/')[1]}"
    assert image_path(tmp_path, mixed).is_file()
    assert image_path(tmp_path, "zürich/other.png") == tmp_path / "zürich/other.png"
