"""What a training says before it begins and after it learned nothing."""

import pytest

from core.errors import InputError
from siglip import train


def test_a_training_that_learned_nothing_says_what_to_try():
    from siglip.train.advice import advice

    assert advice({"ranking_accuracy": 0.5, "chance": 0.3}) is None
    assert advice({}) is None
    assert advice({"ranking_accuracy": 0.25, "chance": 0.3}).startswith(
        "ranks 25.0 % of the captions right, 30.0 % by chance: try more epochs"
    )
    assert "there was nothing to rank" in advice({"ranking_accuracy": 1.0, "chance": 1.0})
    assert "no candidate of the detector's meets a target" in advice({"detected_ceiling": 0.0})


def test_a_device_is_of_one_process(monkeypatch):
    from siglip.train.launching import make_accelerator
    from siglip.train.settings import TrainConfig

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="device: cpu is of one process; accelerate launch gives each of several"):
        make_accelerator(TrainConfig(crops="x", device="cpu"))
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert make_accelerator(TrainConfig(crops="x", device="cpu")).device.type == "cpu"


def test_a_gpu_that_is_not_there_is_one_line(refused):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert "device: cuda asks for CUDA GPU 0, and torch finds none here" in refused(
        train.main, ["crops=x", "device=cuda"]
    )
