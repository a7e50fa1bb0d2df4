"""What an export takes and refuses before it begins, and what it says when it found nothing."""

import json
import re
from pathlib import Path

import pytest
import torch

from core.records import read_predictions
from pipeline.export import main


def answers(folder):
    return {(p.image, p.caption): p for e in read_predictions(folder / "predictions.jsonl") for p in e.predictions}


def test_an_export_takes_the_labels_of_another_tool(export, system, tmp_path):
    from data.write import main as write

    first = export("plain")
    truth = f"annotations={system}/scenes/annotations.jsonl"
    for form, file in (("coco", "coco.json"), ("label_studio", "label_studio.json")):
        write([truth, f"images={system}/scenes/images", f"format={form}", f"run_dir={tmp_path}/{form}"])
        other = export(f"of_{form}", f"annotations={tmp_path}/{form}/{file}", f"candidates={tmp_path}/plain/candidates")
        assert answers(other) == answers(first)
        assert json.loads((other / "metrics.json").read_text())["accuracy"] == json.loads(
            (first / "metrics.json").read_text())["accuracy"]  # fmt: skip
        assert (other / "annotations.jsonl").is_file()


def test_an_export_refuses_before_a_model_is_loaded(export_words, system, tmp_path, refused, monkeypatch):
    monkeypatch.setattr("pipeline.export.work.build_pipeline", lambda *_: pytest.fail("loaded"))
    lines = (system / "scenes/annotations.jsonl").read_text().splitlines(keepends=True)
    entry = json.loads(lines[-1])
    for field, value, message in (
        ("image", "gone.png", "field 'image': .*gone.png does not exist"),
        ("annotations", [{"caption": "far", "bbox": [900, 1, 5, 5]}], "lies wholly outside the 160 x 96 image"),
    ):
        (tmp_path / "a.jsonl").write_text("".join(lines[:-1]) + json.dumps(entry | {field: value}))
        words = [w for w in export_words if not w.startswith("annotations=")]
        said = refused(main, [*words, f"annotations={tmp_path}/a.jsonl", f"run_dir={tmp_path}/out"])
        assert re.search(rf"a.jsonl line {len(lines)}: .*{message}", said)
    said = refused(main, [*export_words, "scorer=no/such/folder", f"run_dir={tmp_path}/out"])
    assert "scorer: no/such/folder" in said


def test_an_export_without_a_candidate_says_what_to_try(export_words, system, tmp_path):
    YOLO = pytest.importorskip("ultralytics", reason="not run: ultralytics absent").YOLO
    model = YOLO(str(system / "detector.yaml"), verbose=False)
    for branch in model.model.model[-1].cv3:  # a constant 0.12
        torch.nn.init.zeros_(branch[-1].weight)
        torch.nn.init.constant_(branch[-1].bias, -2.0)
    model.save(str(tmp_path / "plain.pt"))
    words = [f"detector={tmp_path}/plain.pt" if word.startswith("detector=") else word for word in export_words]
    main([*words, "confidence=0.9", "run_dir=silent"])
    metrics = json.loads(Path("silent/metrics.json").read_text())
    assert metrics["num_candidates"] == 0
    told = "no candidate in any of 5 images at confidence 0.9; its highest confidence anywhere is 0.119: try a lower"
    assert told in metrics["advice"]
