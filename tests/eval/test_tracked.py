"""What evaluations tell Weights & Biases, read back from the files of offline runs."""

import json
from pathlib import Path

import pytest
from offline_runs import offline_files
from offline_runs import told as read_back

from core.files import write_json
from eval.coco import main as coco
from eval.compare import main as compare
from eval.figures import ACCURACIES, BOXES, SWEEP_TABLES, TABLES
from eval.grounding import main as grounding
from eval.sweep import main as sweep
from eval.tracked import artifact_name, judged_runs


def told(folder):
    (path,) = offline_files(folder)
    return read_back(path)


@pytest.fixture
def offline(monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.fixture
def judged(made_up, tmp_path, offline, capsys):
    """One run each of eval.grounding (two), eval.coco, eval.sweep and eval.compare, offline, over a made-up export."""
    store, truth = made_up.store(tmp_path)
    export = tmp_path / "export"
    export.mkdir()
    training = {"id": "trained", "command": "siglip.train", "path": str(tmp_path / "scorer")}
    record = {"id": "exported", "command": "pipeline.export", "state": "done", "parents": [training]}
    write_json(export / "run.json", record)
    lines = [json.loads(line) for line in Path(truth).read_text().splitlines()]
    (export / "predictions.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    rows = [{"file_name": line["image"], "image_id": n + 1, "category_id": 1, "bbox": a["bbox"], "score": 0.9}
            for n, line in enumerate(lines) for a in line["annotations"]]  # fmt: skip
    write_json(export / "detections.json", rows)
    for name in ("a", "b"):
        grounding([f"truth={truth}", f"predictions={export}/predictions.jsonl", f"run_dir={tmp_path}/{name}"])
    coco([f"truth={truth}", f"detections={export}/detections.json", f"run_dir={tmp_path}/coco"])
    sweep([f"candidates={store.folder}", f"truth={truth}", "confidence=[0.1,0.5]", f"run_dir={tmp_path}/sweep"])
    compare([f"runs=[{tmp_path}/a,{tmp_path}/b]", f"run_dir={tmp_path}/compare"])
    assert capsys.readouterr().err.count("wandb sync") == 5
    return tmp_path


def test_offline_runs_carry_numbers_tables_files_and_their_parents(judged):
    tables = {table for run in ("a", "coco", "sweep", "compare") for table in told(judged / run)["history"]}
    verbs = ("grounding/", "coco/", "sweep/", "compare/")
    asked = [name for name in (*TABLES, *SWEEP_TABLES) if name.startswith(verbs)]
    assert len(asked) == len(verbs)
    assert {f"{name}/nrows" for name in asked} <= tables  # what the dashboard asks for
    numbers = [name for name in (*ACCURACIES, *BOXES) if name.startswith(verbs)]
    assert set(numbers) <= tables
    found = told(judged / "a")
    assert found["project"] == "grounder"
    assert found["history"]["grounding/accuracy"] == found["summary"]["grounding/accuracy"] == 1.0
    assert found["history"]["grounding/outcomes/_type"] == "table-file"
    assert found["history"]["grounding/outcomes/nrows"] == found["history"]["grounding/num_captions"]
    assert [p["command"] for p in found["settings"]["parents"]] == ["pipeline.export"]
    assert found["settings"]["box_format"] == "ltwh"
    boxes = told(judged / "coco")
    assert boxes["history"]["coco/AP"] == pytest.approx(1.0)
    assert boxes["history"]["coco/curves/ncols"] == 4
    points = told(judged / "sweep")
    assert points["history"]["sweep/points/nrows"] == points["history"]["sweep/num_points"] == 2
    assert any(name.endswith("-points") and kind == "evaluation" for name, kind in points["artifacts"].items())
    assert any("points" in name for name in points["media"])
    assert told(judged / "compare")["history"]["compare/differences/nrows"] == 1


def test_a_parent_without_an_artifact_stands_for_its_own_parents(tmp_path):
    write_json(tmp_path / "run.json", {"parents": [{"id": "t", "command": "siglip.train", "path": "/nowhere"}]})
    converted = {"id": "c", "command": "siglip.convert", "path": str(tmp_path)}
    export = {"id": "e", "command": "pipeline.export", "path": "/nowhere"}
    assert [r["id"] for r in judged_runs([converted, export, converted])] == ["t", "e"]
    assert artifact_name("t", "siglip.train") == "t-last"
