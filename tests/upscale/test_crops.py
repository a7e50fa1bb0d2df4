"""Enlarging whole crop sets: what is made, stored, reused, and refused."""

import json

import numpy as np
import pytest

from core.files import sha256_bytes
from core.images import encode_image, read_image
from data.cropset import Crop, finish_set, read_crop_set, verify_set
from data.journal import JOURNAL
from upscale.build import build_upscaler
from upscale.crops import main
from upscale.settings import UpscalerConfig


@pytest.fixture
def crop_set(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "crops"
    folder.mkdir()
    crops, digests = [], {}
    for i, (height, width) in enumerate([(12, 20), (1, 1), (3, 9), (30, 11)]):
        data = encode_image(rng.integers(0, 256, (height, width, 3), np.uint8), ".png")
        name = f"image_0_{i}.png"
        (folder / name).write_bytes(data)
        crops.append(Crop(name, f"grey missile {i}", "image_0.jpg", i))
        digests[name] = sha256_bytes(data)
    finish_set(folder, crops, digests, {"pad": "none", "upscaler": None})
    return folder


def enlarge(crop_set, weights, tmp_path, *more):
    main([f"crops={crop_set}", f"upscaler={weights}", f"run_dir={tmp_path}/out", *more])
    return json.loads((tmp_path / "out/metrics.json").read_text())


def test_the_set_is_enlarged_and_remembers_how(crop_set, compact, tmp_path):
    metrics = enlarge(crop_set, compact[0], tmp_path)
    made = read_crop_set(tmp_path / "out")
    verify_set(made)
    assert metrics["num_crops"] == 4
    assert made.policy == build(compact[0]).policy
    assert made.policy.endswith("x4 pad=published")
    assert [c.caption for c in made.crops] == [c.caption for c in read_crop_set(crop_set).crops]
    assert read_image(tmp_path / "out/image_0_0.png").shape == (48, 80, 3)
    assert read_image(tmp_path / "out/image_0_1.png").shape == (1, 1, 3)


def test_a_killed_run_goes_on_and_a_changed_crop_is_made_anew(crop_set, compact, tmp_path):
    enlarge(crop_set, compact[0], tmp_path)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").glob("image_*.png")}
    plan = {"upscaler": build(compact[0]).key, "policy": build(compact[0]).policy}
    entries = [[c.file_name, sha256_bytes((crop_set / c.file_name).read_bytes()),
                {c.file_name: sha256_bytes(before[c.file_name])}] for c in read_crop_set(crop_set).crops]  # fmt: skip
    (tmp_path / "out/set.json").unlink()  # as a kill before the end leaves it: the journal, and no set.json
    lines = [plan, *entries[:3]]
    (tmp_path / "out" / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines) + '["image_0_3')
    (crop_set / "image_0_0.png").write_bytes(encode_image(np.zeros((12, 20, 3), np.uint8), ".png"))
    assert enlarge(crop_set, compact[0], tmp_path)["num_reused"] == 2
    assert not np.array_equal(before["image_0_0.png"], (tmp_path / "out/image_0_0.png").read_bytes())
    assert read_image(tmp_path / "out/image_0_3.png").shape == (120, 44, 3)


def build(weights):
    return build_upscaler(UpscalerConfig(weights=str(weights)))


def test_another_pad_rule_is_another_policy(crop_set, compact, tmp_path):
    enlarge(crop_set, compact[0], tmp_path, "pad=none")
    assert read_crop_set(tmp_path / "out").policy.endswith("x4 pad=none")
    enlarge(crop_set, compact[0], tmp_path, "pad=1")
    assert read_crop_set(tmp_path / "out").record["pad"] == "one"
    assert read_image(tmp_path / "out/image_0_1.png").shape == (4, 4, 3)


def test_it_loads_with_datasets(crop_set, compact, tmp_path):
    from datasets import load_dataset

    enlarge(crop_set, compact[0], tmp_path)
    loaded = load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert sorted(loaded["caption"]) == [f"grey missile {i}" for i in range(4)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["crops=nowhere", "upscaler=lanczos"], "nowhere"),
        (["crops={set}", "upscaler=lanzcos"], "the nearest is 'lanczos'"),
        (["crops={set}", "upscaler=x.pth"], "upscaler.weights: x.pth: no such file"),
        (["crops={set}", "upscaler=lanczos", "pad=published_rule"], "Invalid value 'published_rule'"),
    ],
)
def test_mistakes_are_one_line(words, told, crop_set, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*(w.format(set=crop_set) for w in words), f"run_dir={tmp_path}/out"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_canvases_fill_the_same_set(crop_set, compact, tmp_path):
    """Crops that share canvases are decoded ahead; the set is the one of crops enlarged one by one."""
    enlarge(crop_set, compact[0], tmp_path)
    one_by_one = {p.name: read_image(p) for p in (tmp_path / "out").glob("*.png")}
    enlarge(crop_set, compact[0], tmp_path, "upscaler.batching=masked", "together=3", f"run_dir={tmp_path}/b")
    made = read_crop_set(tmp_path / "b")
    verify_set(made)
    assert len(made.crops) == 4
    for name, image in one_by_one.items():
        assert np.abs(read_image(tmp_path / "b" / name).astype(int) - image).max() <= 1
