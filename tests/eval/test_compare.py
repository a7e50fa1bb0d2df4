"""eval.compare, the ledger of looks, speed scores, correlation of metrics and robustness, on files."""

import json

import pytest

from core.errors import InputError
from core.files import sha256_file, write_json
from eval.charts.pareto import pareto
from eval.compare import main as compare
from eval.correlation import CorrelationConfig, correlations, read_pairs
from eval.correlation import main as correlate
from eval.figures import TABLES
from eval.grounding import main as judge
from eval.ledger import count_look, ledger_path
from eval.robustness import main as robustness
from eval.speed import finals_total, speed_score, time_per_image, total
from eval.speed import main as measure_speed

NUM_IMAGES = 40


def make_truth(path, num_images=NUM_IMAGES):
    lines = [{"image": f"im_{i}.jpg", "annotations": [{"caption": c, "bbox": [60 * n, 0, 20, 20]}
                                                     for n, c in enumerate(("red jet", "blue jet", "grey drone"))]}
             for i in range(num_images)]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def judged(tmp_path, name, is_right, truth=None, *words):
    """An eval.grounding run whose answer to caption n of image i is right where `is_right(i, n)` says so."""
    truth = truth or make_truth(tmp_path / "truth.jsonl")
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    for i, line in enumerate(lines):
        for n, annotation in enumerate(line["annotations"]):
            annotation["bbox"] = [60 * n, 0 if is_right(i, n) else 300, 20, 20]
    predictions = tmp_path / f"{name}.jsonl"
    predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    judge([f"truth={truth}", f"predictions={predictions}", f"run_dir={tmp_path}/{name}", *words])
    return tmp_path / name


def test_a_clear_difference_an_equal_pair_and_noise(tmp_path, capsys):
    weak = judged(tmp_path, "weak", lambda i, n: (i + n) % 2 == 0)
    strong = judged(tmp_path, "strong", lambda i, n: (i + n) % 8 != 1)
    luck = judged(tmp_path, "luck", lambda i, n: (i + n) % 2 == 0 or (i, n) in {(1, 0), (3, 2)})
    same = judged(tmp_path, "same", lambda i, n: (i + n) % 2 == 0)
    capsys.readouterr()
    compare([f"runs=[{weak},{strong},{luck},{same}]", "run_dir=run"])
    result = json.loads((tmp_path / "run/comparison.json").read_text())
    assert [row["verdict"] for row in result["differences"]] == [
        "better",
        "no difference shown",
        "equivalent within 0.01",
    ]
    first = result["differences"][0]
    assert (first["num_only_a"], first["num_only_b"]) == (0, 45)
    assert "hold the same predictions" in capsys.readouterr().out


def test_unequal_inputs_are_refused(tmp_path, capsys):
    a = judged(tmp_path, "a", lambda i, n: True)
    b = judged(tmp_path, "b", lambda i, n: True, make_truth(tmp_path / "other.jsonl", NUM_IMAGES + 1))
    for words, message in ((f"runs=[{a},{b}]", "was judged by another truth"), (f"runs=[{a}]", "needs two or more"),
                           (f"runs=[{a},{tmp_path}]", "holds no outcomes.jsonl")):  # fmt: skip
        with pytest.raises(SystemExit) as stop:
            compare([words, "run_dir=run"])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


def test_a_torn_outcome_file_is_no_smaller_denominator(tmp_path, capsys):
    a, b = (judged(tmp_path, name, lambda i, n: True) for name in "ab")
    lines = (b / "outcomes.jsonl").read_text().splitlines(keepends=True)
    (b / "outcomes.jsonl").write_text("".join(lines[:-2]))
    with pytest.raises(SystemExit):
        compare([f"runs=[{a},{b}]", "run_dir=run"])
    assert f"{len(lines) - 2} outcomes for {len(lines)} captions" in capsys.readouterr().err


# --- the ledger ---------------------------------------------------------------------------------------------------


def test_looks_are_counted_once_a_system_and_end_with_the_budget(tmp_path, capsys):
    truth = make_truth(tmp_path / "truth.jsonl")
    judged(tmp_path, "a", lambda i, n: True, truth, "looks=2")
    assert f"looks at {truth}: 1 of 2" in capsys.readouterr().out
    judged(tmp_path, "a", lambda i, n: True, truth)  # the same predictions are no new look
    assert f"looks at {truth}: 1 of 2" in capsys.readouterr().out
    judged(tmp_path, "b", lambda i, n: i > 3, truth)
    with pytest.raises(SystemExit) as stop:
        judged(tmp_path, "c", lambda i, n: i > 5, truth)
    assert stop.value.code == 2
    assert "2 of 2 looks at this set are spent" in capsys.readouterr().err
    assert not (tmp_path / "c/metrics.json").exists()
    judged(tmp_path, "c", lambda i, n: i > 5, truth, "looks=3")
    assert len(json.loads(ledger_path(str(truth)).read_text())["looks"]) == 3


def test_a_set_without_a_ledger_has_none_and_one_of_another_content_is_refused(tmp_path):
    truth = make_truth(tmp_path / "truth.jsonl")
    assert count_look(str(truth), "x", "eval.grounding") is None
    assert not ledger_path(str(truth)).exists()
    count_look(str(truth), "x", "eval.grounding", budget=5)
    make_truth(truth, 3)
    with pytest.raises(InputError, match="another content"):
        count_look(str(truth), "y", "eval.grounding")


# --- speed --------------------------------------------------------------------------------------------------------


def test_published_speed_scores_and_totals():
    assert total(0.778, 0.7240670631481481) == pytest.approx(0.77260670631481481, abs=2e-16)
    assert total(0.777, 0.7499369624074075) == pytest.approx(0.77429369624074075, abs=2e-16)
    assert total(0.779, 0.753397417037037) == pytest.approx(0.7764397417037037, abs=2e-16)
    for score in (0.7603945631481481, 0.6829, 0.28737872240740736):
        elapsed_s = 5400 * (1 - score)
        assert speed_score(elapsed_s) == pytest.approx(score, abs=1e-15)
    assert speed_score(9000) == 0
    assert total(1, 0, 0.5, 0.5) == 0.5
    assert finals_total(0.8, 0.9, 6) == pytest.approx(0.45 * 0.8 + 0.45 * 0.9 + 0.1 * 0.8)
    assert finals_total(1, 1, 100) == pytest.approx(0.9)


def test_pareto_keeps_what_nothing_beats():
    assert pareto([(1, 0.5), (2, 0.7), (3, 0.6), (2, 0.6), (1, 0.5)]) == [True, True, False, False, True]


def test_time_per_image_leaves_the_warm_up_out():
    stages = {"detector": {"count": 10, "warmup_count": 2, "total_s": 5.0, "warmup_s": 1.0},
              "scorer": {"count": 50, "warmup_count": 10, "total_s": 2.0, "warmup_s": 1.2}}  # fmt: skip
    assert time_per_image(stages) == pytest.approx({"detector": 500, "scorer": 100, "all": 600})
    assert time_per_image({"detector": {"count": 2, "warmup_count": 2, "total_s": 1, "warmup_s": 1}}) == {}


def timed(folder, accuracy, detector_s, scorer_s, weights):
    """An export's folder: ten images in batches of two, the first of them warm-up."""
    folder.mkdir(parents=True)
    stages = {name: {"count": 10, "warmup_count": 2, "total_s": s, "warmup_s": 0.2 * s, "p50_ms": 1, "p95_ms": 2}
              for name, s in (("detector", detector_s), ("scorer", scorer_s))}  # fmt: skip
    write_json(folder / "metrics.json", {"accuracy": accuracy, "num_images": 10, "stages": stages})
    about = {"id": folder.name, "command": "pipeline.export", "state": "done", "started": "2026-01-01T00:00:00"}
    write_json(folder / "run.json", about)
    (folder / "config.yaml").write_text(f"scorer:\n  weights: {weights}\nconfidence: 0.1\n")


def test_systems_are_ranked_by_the_total_of_accuracy_and_speed(tmp_path, capsys, told_tables):
    timed(tmp_path / "runs/slow", 0.80, 6.0, 2.0, "large")
    timed(tmp_path / "runs/fast", 0.78, 1.0, 1.0, "base")
    timed(tmp_path / "runs/poor", 0.70, 5.0, 4.0, "small")
    measure_speed([f"runs=[{tmp_path}/runs]", "num_images=1000", "budget_s=1000", f"run_dir={tmp_path}/speed"])
    assert [name for name in TABLES if name.startswith("speed/")] == told_tables == ["speed/systems"]
    rows = json.loads((tmp_path / "speed/speed.json").read_text())
    assert [row["folder"] for row in rows] == ["fast", "slow", "poor"]
    assert [row["elapsed_s"] for row in rows] == pytest.approx([200, 800, 900])
    assert rows[0]["total"] == pytest.approx(0.9 * 0.78 + 0.1 * 0.8)
    assert [row["unbeaten"] for row in rows] == [True, True, False]
    assert {p.name for p in (tmp_path / "speed").glob("*.png")} == {
        "pareto.png", "pareto-detector.png", "pareto-scorer.png"}  # fmt: skip
    measure_speed([f"runs=[{tmp_path}/runs]", "accuracy_weight=1", "speed_weight=0", f"run_dir={tmp_path}/accuracy"])
    assert json.loads((tmp_path / "accuracy/metrics.json").read_text())["best_total"] == 0.80
    with pytest.raises(SystemExit):
        measure_speed([f"runs=[{tmp_path}/runs]", "budget_s=0", f"run_dir={tmp_path}/wrong"])
    assert "budget_s" in capsys.readouterr().err


# --- correlation --------------------------------------------------------------------------------------------------


def test_the_six_wrong_values_of_the_log_are_corrected():
    rows = [r for r in read_pairs(None) if r["val"] and r["val"] != r["val_published"]]
    right = {4516, 4867, 4680, 4662, 4428, 4436}
    assert {round(float(r["val"]) * 5694) for r in rows} == right
    assert all(float(r["val"]) == round(float(r["val"]) * 5694) / 5694 for r in rows)
    by_place = {(4516, 11199), (4867, 11199), (4680, 11199), (4662, 6134), (4428, 6583), (4436, 6157)}
    assert {round(float(r["val_published"]), 15) for r in rows} == {round(a / b, 15) for a, b in by_place}
    captions = [float(r["val"]) * 5694 for r in read_pairs(None) if r["val"]]
    assert all(abs(c - round(c)) < 1e-6 for c in captions)  # every value is a whole number of captions


def test_the_published_pairs_say_what_the_page_says():
    rows = {(r["metric"], r["runs"]): r for r in correlations(CorrelationConfig())}
    whole = rows["val", "all"]
    assert whole["pairs"] == 23
    assert whole["kendall_low"] > 0
    assert rows["val", "fine-tuned"]["kendall_low"] < 0 < rows["val", "fine-tuned"]["kendall_high"]


def test_a_table_of_ones_own(tmp_path, capsys, told_tables):
    (tmp_path / "pairs.csv").write_text(
        "run,ap,noise,test\n" + "".join(f"r{i},{i},{-i % 3},{i * i}\n" for i in range(9))
    )
    correlate([f"pairs={tmp_path}/pairs.csv", "group=null", "above=null", "run_dir=run"])
    assert [name for name in TABLES if name.startswith("correlation/")] == told_tables
    rows = {r["metric"]: r for r in json.loads((tmp_path / "run/correlation.json").read_text())}
    assert rows["ap"]["kendall"] == pytest.approx(1)
    assert rows["ap"]["agreement"] == 1
    assert "noise over 9 runs (all) is not shown" in capsys.readouterr().out
    for text, message in (("a,test\n1,2\n", "no metric has 3 runs"), ("", "holds no rows"),
                          ("a,b\n1,2\n1,2\n3,4\n", "line 2: field 'test': no such column")):  # fmt: skip
        (tmp_path / "pairs.csv").write_text(text)
        with pytest.raises(SystemExit) as stop:
            correlate([f"pairs={tmp_path}/pairs.csv", "group=null", "run_dir=run2"])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


# --- robustness ---------------------------------------------------------------------------------------------------


def exported(tmp_path, name, grade, accuracy, weights="runs/a/weights/best.pt", caption="red jet"):
    """A pipeline.export run over a copy of a set."""
    folder, images = tmp_path / "runs" / name, tmp_path / "sets" / (grade or "clean")
    (images / "images").mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    if grade:
        kind = grade.rstrip("0123456789")
        (images / "noise.json").write_text(json.dumps({"grade": grade, "kind": kind, "level": int(grade[len(kind) :])}))
    (folder / "config.yaml").write_text(f"images: {images}/images\ndetector:\n  weights: {weights}\nconfidence: 0.25\n")
    record = {"command": "pipeline.export", "state": "done", "started": name}
    (folder / "run.json").write_text(json.dumps(record))
    metrics = {"accuracy": accuracy, "ci95": [accuracy - 0.1, accuracy + 0.1]} if accuracy is not None else {}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    line = {"image": "a.jpg", "annotations": [{"caption": caption, "bbox": [0, 0, 1, 1]}]}
    (folder / "predictions.jsonl").write_text(json.dumps(line) + "\n")


def test_accuracy_is_set_against_grades_of_noise(tmp_path, told_tables):
    for name, grade, accuracy in (
        ("1", None, 0.9),
        ("2", "gauss500", 0.8),
        ("3", "gauss2500", 0.6),
        ("4", "jpeg20", 0.7),
    ):
        exported(tmp_path, name, grade, accuracy)
    exported(tmp_path, "5", "gauss2500", 0.75, weights="runs/b/weights/best.pt")
    robustness([f"runs=[{tmp_path}/runs]", "run_dir=run"])
    assert [name for name in TABLES if name.startswith("robustness/")] == told_tables == ["robustness/grades"]
    rows = json.loads((tmp_path / "run/robustness.json").read_text())
    mine = [r for r in rows if r["system"].startswith("a/weights/best.pt")]
    assert [(r["grade"], r["accuracy"]) for r in mine] == [
        ("clean", 0.9),
        ("gauss500", 0.8),
        ("gauss2500", 0.6),
        ("jpeg20", 0.7),
    ]
    assert [r["lost"] for r in mine] == pytest.approx([0, 0.1, 0.3, 0.2])
    assert [r["lost"] for r in rows if r not in mine] == [None]
    assert (tmp_path / "run/robustness-gauss.png").is_file()


def test_unequal_sets_and_repeats_are_refused(tmp_path, capsys):
    exported(tmp_path, "1", None, 0.9)
    exported(tmp_path, "2", "gauss500", 0.8, caption="blue jet")
    with pytest.raises(SystemExit):
        robustness([f"runs=[{tmp_path}/runs]", "run_dir=run"])
    assert "was asked other images or captions" in capsys.readouterr().err
    exported(tmp_path, "other/1", "gauss500", None)
    with pytest.raises(SystemExit):
        robustness([f"runs=[{tmp_path}/runs/other]", "run_dir=run"])
    assert "has no accuracy" in capsys.readouterr().err


def test_digests_in_metrics_are_those_of_the_files(tmp_path):
    run = judged(tmp_path, "a", lambda i, n: True)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["truth_sha256"] == sha256_file(tmp_path / "truth.jsonl")
    assert metrics["predictions_sha256"] == sha256_file(tmp_path / "a.jsonl")
