"""A preset of the published log runs on the user's own models and data, and tells its figure beside the run's."""

import json

PRESET = "yolov9e_ep65_conf0.1_iou0.1_tta_x4v3padpub_large_augv2_x4_ep5"


def test_a_published_run_tells_its_figure_beside_ours(export, capfd):
    run = export("again", f"experiment/grounding={PRESET}", "detector.imgsz=160", "scorer.template=null")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["published_accuracy"] == 0.894
    assert metrics["published_on"].startswith("the hidden test (log lines 749")
    assert abs(metrics["accuracy_minus_published"] - (metrics["accuracy"] - 0.894)) < 1e-12
    printed = capfd.readouterr().out
    assert "accuracy: " in printed
    assert "published_accuracy: 0.894" in printed
    assert "views:\n  - tta" in (run / "config.yaml").read_text()


def test_a_corrected_figure_is_what_counts():
    from core.published import Published, beside

    told = beside(Published(value=0.4, corrected=0.8, split="validation", place="line 1"), {"accuracy": 0.9})
    assert told["published_accuracy_corrected"] == 0.8
    assert abs(told["accuracy_minus_published"] - 0.1) < 1e-12
    assert beside(Published(), {"accuracy": 0.9}) == {}
