"""A run arrives at a W&B server with its names, figures, tables and images: the client's own requests, at loopback."""

import json
import os
import subprocess
import sys

import pytest
from wandb_server import environment, wandb_server

from eval.figures import MEMORY


def online(server, home, *words):
    """Run a command whose W&B client, as a fresh user's, sends to the server."""
    spared = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    given = {**spared, **environment(server), "HOME": str(home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", *map(str, words)], env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    refused = [line for line in done.stderr.splitlines() if line.startswith("tracking:")]
    return [line for line in refused if "artifact" not in line]  # which one it used is asked by name


@pytest.fixture
def arrived(export_words, tmp_path):
    """(server, its runs by name, folder): an export and its report, both online."""
    words = [word for word in export_words if not word.startswith("tracking")]
    with wandb_server() as server:
        export = tmp_path / "mine"
        tracking = ("tracking.project=study", "tracking.group=first", "tracking.tags=[small]")
        refused = online(server, tmp_path, "pipeline.export", *words, *tracking, f"run_dir={export}")
        refused += online(server, tmp_path, "eval.report", f"run={export}", *tracking, f"run_dir={tmp_path}/page")
    assert refused == []
    return server, {run["displayName"]: run for run in server.runs.values()}, tmp_path


def test_names_figures_tables_and_images_arrive(arrived):
    server, runs, folder = arrived
    assert {name: run["jobType"] for name, run in runs.items()} == {"mine": "pipeline.export", "page": "eval.report"}
    metrics = json.loads((folder / "mine/metrics.json").read_text())
    for name, run in runs.items():
        assert (run["project"], run["groupName"], run["tags"], run["exit_code"]) == ("study", "first", ["small"], 0)
        known = json.loads((folder / name / "tracking.json").read_text())["wandb_run_id"]
        assert known == run["name"]
        sent = json.loads(run["config"])
        assert sent["run_dir"]["value"] == str(folder / name)
    summary = runs["mine"]["summary"]
    assert summary["export/accuracy"] == pytest.approx(metrics["accuracy"])
    assert summary["export/ci95"] == pytest.approx(metrics["ci95"])
    assert MEMORY in summary
    assert summary["export/stages"]["_type"] == "table-file"
    assert server.artifacts
    uploads = {path.rpartition("/")[2] for path in server.files}
    assert "wandb_manifest.json" in uploads
    page = [value for value in runs["page"]["summary"].values() if isinstance(value, dict)]
    images = [name for value in page for name in value.get("filenames", ())]
    assert images
    for image in images:
        assert server.files[f"{runs['page']['name']}/{image}"].startswith(b"\x89PNG")
