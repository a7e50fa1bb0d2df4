"""A scorer that siglip.export wrote takes part in the whole pipeline, answer for answer."""

import json

from pipeline.export import main as export
from siglip.export import main as export_scorer


def test_the_pipeline_answers_alike_with_the_exported_scorer(export_words, exported, system, tmp_path):
    export_scorer([f"weights={system}/scorer", "run_dir=onnx"])
    words = [word for word in export_words if not word.startswith("scorer=")]
    export([*words, f"scorer={tmp_path}/onnx", "run_dir=run"])
    ours, theirs = ((folder / "predictions.jsonl").read_text().splitlines() for folder in (tmp_path / "run", exported))
    assert len(ours) == len(theirs) > 0
    for made, wanted in zip(map(json.loads, ours), map(json.loads, theirs), strict=True):
        assert made["image"] == wanted["image"]
        for one, other in zip(made["annotations"], wanted["annotations"], strict=True):
            assert one["bbox"] == other["bbox"]
            assert abs(one["score"] - other["score"]) < 1e-5
