"""Sweeps over several and none: each point equals what eval.grounding says of the answers written to a file."""

import json

import numpy as np
import pytest

from core.answering import Seen, answer, embeddings_of
from core.choosing import Combining, Select
from core.cuts import candidates_of
from core.pixels import pixel_boxes
from core.records import read_predictions, write_predictions
from data.captions import read_annotations
from eval.answers.joining import score_keyed
from eval.answers.measures import FIGURES, counts_of, figures, grounding_metrics, plain_figures
from eval.compare import main as compare
from eval.grounding import main as judge
from eval.report import main as report
from eval.statistics import Resamples
from eval.sweep import best_row, points_of, sweep
from eval.sweep import main as sweep_main
from eval.sweep.settings import SweepConfig

WORDS = ("red jet", "blue jet", "grey drone", "white helicopter", "green missile")


@pytest.fixture
def mixed(made_up, tmp_path):
    """A store, and its truth with several targets for first captions, shared ones, and captions for nothing."""
    store, path = made_up.store(tmp_path, num_images=14)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for number, line in enumerate(lines):
        entries = line["annotations"]
        if number % 2 and len(entries) > 1:
            entries[0] = {"caption": entries[0]["caption"], "boxes": [e["bbox"] for e in entries[:3]]}
        free = [word for word in WORDS if word not in {e["caption"] for e in entries}]
        if number % 3 == 0 and free:
            entries.append({"caption": free[0], "boxes": []})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return store, path


def written(made_up, store, truth, point, path):
    """The answers of a point by the pipeline's own functions, written and read again."""
    digests = store.find_digests([entry.image for entry in truth])
    calibration = store.known("embeddings")["none-scorerkey"]["calibration"]
    texts, predictions = store.read_texts("scorerkey"), []
    for entry in truth:
        candidates = candidates_of(store.read_views("detectorkey", digests[entry.image]), point.cut)
        pixels = pixel_boxes(candidates.boxes_xyxy, *made_up.size)
        embeddings = embeddings_of(pixels, *store.read_embeddings("none-scorerkey", digests[entry.image]))
        captions = [a.caption for a in entry.annotations]
        scores = Seen(candidates, embeddings).scores(captions, texts, calibration)
        predictions += answer(candidates, scores, len(captions), point.choosing).predictions(entry.image, captions)
    write_predictions(path, predictions)
    return score_keyed(truth, read_predictions(path))


def test_every_point_equals_the_answers_written_to_a_file(made_up, mixed, tmp_path):
    store, path = mixed
    truth = read_annotations(path)
    config = SweepConfig(
        candidates=str(store.folder), truth=str(path), confidence=[0.3, 0.62], select=list(Select), above=[0.2, 0.6],
        absent_below=[None, 0.5], combine=list(Combining), confidence_weight=[0.0, 0.4],
    )  # fmt: skip
    rows, _ = sweep(config)
    points = points_of(config, store)
    assert len(rows) == len(points) == 2 * 2 * 3 * (2 * 2 + 1)  # no axis of select=best, of posterior
    seen = set()
    for row, point in zip(rows, points, strict=True):
        outcomes = written(made_up, store, truth, point, tmp_path / "p.jsonl")
        expected = plain_figures(counts_of(outcomes))
        assert {name: row[name] for name in FIGURES} == pytest.approx(expected, abs=1e-6), point
        assert row["num_hits"] == grounding_metrics(outcomes)["num_hits"]
        seen |= {len(outcome.boxes_ltwh) for outcome in outcomes}
    assert {0, 1, 2, 3} <= seen
    told = figures(counts_of(outcomes), Resamples([o.image for o in outcomes]))
    assert [row["exact_share_ci95_low"], row["exact_share_ci95_high"]] == told["exact_share_ci95"]


def test_a_sweep_finds_the_threshold_that_says_not_here(mixed):
    store, path = mixed
    thresholds = [None, 0.05, 0.2, 0.5, 0.9]
    config = SweepConfig(candidates=str(store.folder), truth=str(path), confidence=[0.3], absent_below=thresholds)
    rows, _ = sweep(config)
    assert [row["none_accuracy"] for row in rows] == sorted(row["none_accuracy"] for row in rows)
    assert [row["target_accuracy"] for row in rows] == sorted((row["target_accuracy"] for row in rows), reverse=True)
    assert rows[0]["none_accuracy"] == 0
    assert rows[0]["target_accuracy"] == 1
    best = best_row(rows, "exact_share")
    assert best["absent_below"] not in {None, 0.9}
    assert best["exact_share"] > rows[0]["exact_share"]


def test_grounding_sweep_comparison_and_report_say_the_same_by_the_same_names(made_up, mixed, tmp_path, capsys):
    store, path = mixed
    truth, root = read_annotations(path), tmp_path / "chain"
    words = [f"candidates={store.folder}", f"truth={path}", "confidence=[0.3]"]
    sweep_main([*words, "select=[best,above]", "above=[0.3]", f"run_dir={root}/sweep"])
    out = capsys.readouterr().out
    assert "best: " in out
    assert ": exact_share 0." in out
    rows = json.loads((root / "sweep/sweep.json").read_text())
    config = SweepConfig(str(store.folder), str(path), confidence=[0.3], select=list(Select), above=[0.3])
    for name, point in zip(("one", "all"), points_of(config, store), strict=True):
        written(made_up, store, truth, point, tmp_path / f"{name}.jsonl")
        judge([f"truth={path}", f"predictions={tmp_path}/{name}.jsonl", f"run_dir={root}/{name}"])
    metrics = {name: json.loads((root / name / "metrics.json").read_text()) for name in ("one", "all")}
    for row, name in zip(rows, ("one", "all"), strict=True):
        assert {f: row[f] for f in FIGURES} == pytest.approx({f: metrics[name][f] for f in FIGURES})
    compare([f"runs=[{root}/one,{root}/all]", f"run_dir={root}/compared"])
    told = json.loads((root / "compared/comparison.json").read_text())
    assert [run["instance_f1"] for run in told["runs"]] == [metrics[n]["instance_f1"] for n in ("one", "all")]
    gain = metrics["all"]["exact_share"] - metrics["one"]["exact_share"]
    assert told["differences"][0]["difference"] == pytest.approx(gain)
    report([f"run={root}/all", f"truth={path}", f"run_dir={tmp_path}/report"])
    page, numbers = ((tmp_path / "report" / name).read_text() for name in ("report.html", "report.json"))
    assert json.loads(numbers)["metrics"]["instance_f1"] == metrics["all"]["instance_f1"]
    for figure in FIGURES:
        assert f"<td>{figure}</td>" in page
    assert f"| {metrics['all']['none_accuracy']:.4f} |" in (tmp_path / "report/report.md").read_text()


def test_cases_of_several_and_none_have_their_fates(made_up, mixed):
    from eval.attribution import attribution, cases_of
    from eval.sweep.points import Sweeper
    from eval.sweep.replay import Replay

    store, path = mixed
    truth = read_annotations(path)
    config = SweepConfig(candidates=str(store.folder), truth=str(path), confidence=[0.3])
    (point,) = points_of(config, store)
    outcomes = written(made_up, store, truth, point, path.with_name("p.jsonl"))
    cases = cases_of(outcomes, Sweeper(Replay(store, truth)), "detectorkey", point.cut, "none-scorerkey")
    nothing = [case for case in cases if not case.outcome.truths_ltwh]
    assert nothing
    assert {case.fate for case in nothing} == {"false alarm"}
    stages = attribution(cases)
    assert sum(stages["fates"].values()) == len(cases)
    row = sweep(config)[0][0]
    assert (stages["ceiling"], stages["chance"]) == (row["ceiling"], pytest.approx(row["chance"]))
    several = [case for case in cases if len(case.outcome.truths_ltwh) > 1]
    assert any(case.fate == "right" for case in several)
    assert all(np.isfinite(case.best_iou) for case in cases)
