"""The bridge against a SigLIP that Flax itself built: names, layouts, numbers, and back to the bit."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest
import torch

from siglip.bigvision import main

jax.config.update("jax_enable_x64", True)
SIZES = {"depth": 2, "heads": 4}


@pytest.fixture
def flax_siglip():
    spec = importlib.util.spec_from_file_location("flax_siglip", Path(__file__).with_name("flax_siglip.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("stacked", [False, True])
def test_a_flax_siglip_gives_equal_logits_and_comes_back_to_the_bit(stacked, flax_siglip, tmp_path):
    from transformers import SiglipModel

    model = flax_siglip.TwoTowers(
        image={**SIZES, "width": 32, "inner": 56, "patch": 8},
        text={**SIZES, "width": 24, "inner": 40, "vocabulary": 30, "out": 32, "depth": 3},
    )
    rng = np.random.default_rng(0)
    images, ids = rng.uniform(-1, 1, (4, 24, 24, 3)), rng.integers(0, 30, (5, 12))
    params = jax.tree.map(lambda x: x.astype(np.float64), model.init(jax.random.key(0), images, ids)["params"])
    zimg, ztxt, logits = model.apply({"params": params}, images, ids)
    arrays = {f"params/{name}": np.asarray(x) for name, x in flax_siglip.flat(params).items()}
    np.savez(tmp_path / "flax.npz", **stack(arrays) if stacked else arrays)

    main(["source=flax.npz", "out=folder", "run_dir=run"])
    ours = SiglipModel.from_pretrained(tmp_path / "folder", dtype=torch.float64).eval()
    with torch.no_grad():
        made = ours(pixel_values=torch.tensor(images).permute(0, 3, 1, 2), input_ids=torch.tensor(ids))
    np.testing.assert_allclose(made.image_embeds, zimg, rtol=0, atol=1e-7)  # big_vision adds 1e-8 to each length
    np.testing.assert_allclose(made.text_embeds, ztxt, rtol=0, atol=1e-7)
    np.testing.assert_allclose(made.logits_per_image, logits, rtol=0, atol=1e-6)
    assert np.std(logits) > 0.1

    main(["source=folder", "out=back.npz", f"stacked={stacked}", "run_dir=back"])
    with np.load(tmp_path / "back.npz") as back, np.load(tmp_path / "flax.npz") as there:
        assert sorted(back.files) == sorted(there.files)
        for name in there.files:
            assert back[name].dtype == there[name].dtype
            np.testing.assert_array_equal(back[name], there[name])


def stack(arrays):
    """Layers in one array each, as Flax's scan has them."""
    made = {name: x for name, x in arrays.items() if "encoderblock_" not in name}
    for first in (name for name in arrays if "encoderblock_0/" in name):
        layers = [
            arrays[n] for i in range(9) if (n := first.replace("encoderblock_0/", f"encoderblock_{i}/")) in arrays
        ]
        made[first.replace("encoderblock_0/", "encoderblock/")] = np.stack(layers)
    return made
