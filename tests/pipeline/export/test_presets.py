"""Every preset of a one-stage model composes; those of servers read the answer that their models give."""

import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from grounder.compose import compose_config, register
from onestage.build import build_onestage
from onestage.settings import OneStageFamily
from pipeline.export.settings import ExportConfig

PRESETS = sorted(
    p.stem for p in (Path(__file__).parents[3] / "configs/onestage").glob("*.yaml") if p.stem != "checkpoint"
)
# what each model writes for the box [10, 6, 40, 30] of a 100 x 60 image; Qwen2.5-VL sees 1316 x 756
WRITTEN = {
    "qwen3_vl": '```json\n[{"bbox_2d": [100, 100, 400, 500], "label": "red drone"}]\n```',
    "qwen25_vl": json.dumps([{"bbox_2d": [131.6, 75.6, 526.4, 378]}]),
    "gemma4": '[{"box_2d": [100, 100, 500, 400], "label": "red drone"}]',
    "internvl3": "<ref>red drone</ref><box>[[100, 100, 400, 500]]</box>",
    "lfm2_vl": '[{"label": "red drone", "bbox": [0.1, 0.1, 0.4, 0.5]}]',
}


def composed(*words):
    config = OmegaConf.to_object(
        compose_config(register("pipeline.export", ExportConfig), ["annotations=x", "images=x", *words])
    )
    assert isinstance(config, ExportConfig)
    return config.onestage


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_composes(name):
    config = composed(f"onestage={name}")
    assert config.family is not OneStageFamily.server or name in WRITTEN
    assert (config.weights is None) == (name in WRITTEN)
    assert composed(f"onestage={name}", "onestage.weights=other").weights == "other"


@pytest.mark.parametrize("name", WRITTEN)
def test_a_servers_preset_reads_what_its_model_writes(name, serve):
    stub = serve(lambda body: WRITTEN[name])
    config = composed(
        f"onestage={name}", f"onestage.weights={stub.url}", *(["onestage.model=m"] if name == "gemma4" else [])
    )
    ((_, _, found),) = build_onestage(config).ground([np.zeros((60, 100, 3), np.uint8)], [["red drone"]])
    np.testing.assert_allclose(found.candidates.boxes_xyxy, [[10, 6, 40, 30]], atol=0.01)
