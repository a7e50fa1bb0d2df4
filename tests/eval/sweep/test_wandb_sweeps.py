"""The W&B sweep files: every line an agent would run composes, and the launchers' presets run a multirun."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import yaml

from grounder.compose import compose_config, register

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / "configs" / "sweeps").glob("*.yaml"))
METRICS = {"siglip.train": "detected_accuracy", "detector.train": "best/AP", "pipeline.export": "export/accuracy"}


def schema_of(command):
    from importlib import import_module

    module = import_module(command)
    return module.TrainConfig if command.endswith("train") else module.ExportConfig


def words_of(sweep):
    """The settings of every combination of listed values; of a range both ends."""
    axes = [[(name, v) for v in about.get("values", [about.get("value", about.get("min")), about.get("max")])
             if v is not None] for name, about in sweep["parameters"].items()]  # fmt: skip
    return [[f"{name}={value}" for name, value in point] for point in product(*axes)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_line_of_an_agent_composes(path):
    sweep = yaml.safe_load(path.read_text())
    command = sweep["command"][3]
    assert sweep["command"][:3] == ["${env}", "${interpreter}", "-m"]
    assert sweep["command"][-1] == "${args_no_hyphens}"
    assert sweep["metric"] == {"name": METRICS[command], "goal": "maximize"}
    fixed = [word.partition("=")[0] + "=x" for word in sweep["command"][4:-1]]
    config_name = register(command, schema_of(command))
    points = words_of(sweep)
    for words in points[:: max(1, len(points) // 6)]:
        compose_config(config_name, [*fixed, *words], None)


@pytest.mark.parametrize("launcher", ["cores", "slurm_local"])
def test_a_multirun_by_a_launcher_is_one_run_a_job(launcher, made_up, tmp_path):
    store, truth = made_up.store(tmp_path)
    words = ["-m", f"hydra/launcher={launcher}", f"candidates={store.folder}", f"truth={truth}", "match_iou=0.5,0.7",
             f"run_dir={tmp_path}/grid", "tracking.mode=disabled"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "eval.sweep", *words], check=True, env=environment, timeout=120)
    runs = [json.loads((tmp_path / "grid" / str(n) / "metrics.json").read_text()) for n in (0, 1)]
    assert runs[0]["num_points"] == runs[1]["num_points"] == 1
    assert [json.loads((tmp_path / "grid" / str(n) / "run.json").read_text())["state"] for n in (0, 1)] == ["done"] * 2
