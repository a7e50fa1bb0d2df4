"""siglip.evaluate over a run's candidates answers as pipeline.export itself did."""

import json

from pipeline.export import main as export
from siglip.evaluate import main as evaluate


def test_detected_accuracy_is_the_pipelines_own_without_an_upscaler(export_words, system, tmp_path):
    words = [word for word in export_words if not word.startswith("upscaler=")]
    export([*words, "scorer.any_policy=true", "nms_iou=0.3", "max_det=7", "run_dir=run"])
    evaluate([f"scorer={system}/scorer", "scorer.any_policy=true", "candidates=run", "run_dir=judged"])
    exported, judged = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("run", "judged"))
    assert judged["detected_accuracy"] == exported["accuracy"]
    assert judged["num_candidates"] > 0
