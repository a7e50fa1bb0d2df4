"""A crop set that was damaged or made by others is named by file and field."""

from pathlib import Path

import pytest

from data.crops import main
from data.cropset import read_crop_set, verify_set

WORDS = ["annotations=a.jsonl", "images=images", "run_dir=out"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"file_name": "a_0.png"}', "metadata.jsonl line 1: field 'caption': missing"),
        ('{"caption": "x"}', "metadata.jsonl line 1: field 'file_name': missing"),
        ('{"file_name": "../a_0.png", "caption": "x"}', "leads out of the crop set"),
        ('{"file_name": "a_0.png", "caption": "x", "index": true}', "field 'image' or 'index'"),
        ("{", "metadata.jsonl line 1: not valid JSON"),
        ('{"file_name": "a_0.png", "caption": "x"}\n{"file_name": "a_0.png", "caption": "y"}', "listed twice"),
    ],
)
def test_a_bad_crop_set_is_named(tmp_path, content, message):
    (tmp_path / "metadata.jsonl").write_text(content + "\n")
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        read_crop_set(tmp_path)


def test_a_changed_byte_is_found(toy):
    main(WORDS)
    path = Path("out/image_4_2.png")
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="image_4_2.png: its content differs"):
        verify_set(read_crop_set("out"))
    path.unlink()
    with pytest.raises(ValueError, match="image_4_2.png: missing"):
        verify_set(read_crop_set("out"))
    Path("out/metadata.jsonl").write_text(Path("out/metadata.jsonl").read_text().replace("red", "tan"))
    with pytest.raises(ValueError, match="metadata.jsonl: its content differs"):
        verify_set(read_crop_set("out"))
