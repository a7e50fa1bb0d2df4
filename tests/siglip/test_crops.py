"""Crops that are no crop set of ours: whatever `datasets` loads, and several sets together."""

import numpy as np
import pytest
from PIL import Image

from core.errors import InputError
from siglip.crops import read_crops


def save_images(folder, captions):
    """A PNG of its own colour below a folder of each caption's name, and a second one of the first caption."""
    images = {}
    for number, caption in enumerate([*captions, captions[0]]):
        pixels = np.full((9, 12, 3), 40 * number, np.uint8)
        path = folder / caption / f"crop_{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        images.setdefault(caption, []).append(pixels)
    return images


def test_folders_named_by_captions_are_read_without_a_bar_in_a_log(tmp_path, capfd, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    images = save_images(tmp_path / "crops", ["grey missile", "red drone"])
    crops = read_crops(str(tmp_path / "crops"))
    found = {}
    for number, caption in enumerate(crops.captions):
        found.setdefault(caption, []).append(crops.open(number))
    assert {c: len(p) for c, p in found.items()} == {"grey missile": 2, "red drone": 1}
    assert all(np.array_equal(found[c], images[c]) for c in images)
    told = capfd.readouterr()
    assert told.err == told.out == ""  # `datasets` would have drawn "Generating train split"


def test_two_sets_are_one_after_the_other(make_crops):
    first, second = str(make_crops("one", 3, 0)), str(make_crops("two", 2, 1))
    both, alone = read_crops([first, second]), [read_crops(first), read_crops(second)]
    assert both.captions == alone[0].captions + alone[1].captions
    assert len(set(both.names)) == len(both)
    for number in range(len(both)):
        source, place = (0, number) if number < len(alone[0]) else (1, number - len(alone[0]))
        assert np.array_equal(both.open(number), alone[source].open(place))


def test_a_folder_without_images_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="crops: .*empty: cannot be loaded as a data set"):
        read_crops(str(tmp_path / "empty"))
