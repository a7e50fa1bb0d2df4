"""The presets of open_clip's families name what the locked open_clip lists: weights, and the size of their images."""

import re
from pathlib import Path

import open_clip
import pytest
import yaml
from open_clip.pretrained import get_pretrained_cfg, list_pretrained

PRESETS = Path(__file__).parents[3] / "configs" / "scorer"


@pytest.mark.parametrize("name", ["mobileclip2_s0", "mobileclip2_s4", "pe_core_base", "pe_core_large"])
def test_a_preset_is_in_open_clips_registry(name):
    text = (PRESETS / f"{name}.yaml").read_text()
    told = yaml.safe_load(text)
    hubs = {}
    for architecture, tag in list_pretrained():
        hubs.setdefault(get_pretrained_cfg(architecture, tag).get("hf_hub", "").strip("/"), architecture)
    assert told["family"] == "open_clip"
    size = open_clip.get_model_config(hubs[told["weights"]])["vision_cfg"]["image_size"]
    assert re.search(r", (\d+) px, through open_clip", text)[1] == str(size)
