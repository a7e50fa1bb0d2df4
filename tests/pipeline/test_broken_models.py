"""A checkpoint that gives NaN: one line that names it and its stage, from the command line and from the server."""

import base64
import shutil

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save_file

from core.images import encode_image
from core.stages import require_finite
from pipeline.export import main as export
from pipeline.locate import main as locate
from pipeline.server.service import Service, make_app


def spoil(system, tmp_path, stage):
    """The words of a system whose `stage` has one NaN weight, and the spoiled checkpoint."""
    paths = {"detector": system / "detector.pt", "upscaler": system / "upscaler/standin.safetensors",
             "scorer": system / "scorer"}  # fmt: skip
    target = tmp_path / paths[stage].name
    if stage == "detector":
        checkpoint = torch.load(paths[stage], weights_only=False)
        next((checkpoint["ema"] or checkpoint["model"]).parameters()).data.view(-1)[0] = float("nan")
        torch.save(checkpoint, target)
    else:
        if stage == "scorer":
            shutil.copytree(paths[stage], target)
            (target / "manifest.json").unlink(missing_ok=True)
        file = target / "model.safetensors" if stage == "scorer" else target
        tensors = load_file(paths[stage] / "model.safetensors" if stage == "scorer" else paths[stage])
        for name in tensors:  # of both towers
            if (name.endswith(".bias") and "layer_norm" in name) or stage == "upscaler":
                tensors[name].view(-1)[0] = float("nan")
        save_file(tensors, file, {"format": "pt"})
    paths[stage] = target
    return [f"{name}={path}" for name, path in paths.items()] + ["scorer.any_policy=true"], target


@pytest.mark.parametrize("stage", ["detector", "upscaler", "scorer"])
def test_nan_is_one_line_that_names_checkpoint_and_stage(stage, system, tmp_path, capfd):
    words, broken = spoil(system, tmp_path, stage)
    words += ["confidence=0.3"]
    scenes = [f"annotations={system}/scenes/annotations.jsonl", f"images={system}/scenes/images"]
    calls = [(locate, [str(system / "scenes/images/image_0.jpg"), "red jet"]),
             (export, [*scenes, "tracking.mode=disabled"])]  # fmt: skip
    for number, (command, own) in enumerate(calls):
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            command([*own, *words, f"run_dir={tmp_path}/run_{number}"])
        assert stop.value.code == 2
        assert f"{stage}: {broken}: gives NaN or infinity" in capfd.readouterr().err


def test_the_server_answers_500_with_the_stage():
    """The models' worker fails as a model with NaN fails; what is before and after it is the real service."""

    def work(requests):
        require_finite(np.array([1.0, np.nan], np.float32), "scorer", "folder/of/weights")

    image = base64.b64encode(encode_image(np.zeros((32, 32, 3), np.uint8), ".png")).decode()
    with TestClient(make_app(Service(work))) as client:
        answer = client.post("/identify", json={"instances": [{"caption": "red jet", "b64": image}]})
    assert answer.status_code == 500
    assert "scorer: folder/of/weights: gives NaN or infinity" in answer.json()["error"]
