"""Curves that decide by hand, margins, the matrix of kinds, and a verdict that waits for its interval."""

import numpy as np
import pytest

from eval.answers.measures import Counts, plain_figures
from eval.attribution import attribution
from eval.report.curves import calibration, risk_coverage
from eval.report.links import link, setting_link
from eval.report.matrix import matrix_of
from eval.report.packing import script_json
from eval.report.page import _blame


def counts(score, hit):
    one = np.ones(len(score), np.intp)
    hit, score = np.asarray(hit, bool), np.asarray(score, float)
    return Counts(one, one, hit.astype(np.intp), hit, score, score)


def test_risk_against_coverage_by_hand():
    (chart,) = risk_coverage(counts([0.9, 0.8, 0.8, 0.1], [True, False, True, False]))
    line = chart.lines[0]
    assert list(line.x) == [0.25, 0.75, 1.0]
    assert list(line.y) == pytest.approx([0, 1 / 3, 1 / 2])  # equally sure ones are answered together
    assert line.links == ["#/score=0.9..", "#/score=0.8..", "#/score=0.1.."]


def test_the_area_below_the_whole_curve_is_the_aurc():
    draw = np.random.default_rng(0)
    score = draw.permutation(40) / 40
    told = counts(score, draw.random(40) < score)
    (chart,) = risk_coverage(told)
    assert np.mean(chart.lines[0].y) == pytest.approx(plain_figures(told)["aurc"])


def test_calibration_by_hand():
    (chart,) = calibration(counts([0.01, 0.03, 0.98, 1.0], [False, False, True, False]))
    assert list(chart.lines[0].x) == pytest.approx([0.02, 0.99])
    assert list(chart.lines[0].y) == [0.0, 0.5]
    assert chart.lines[0].links[1].endswith("..")  # a score of 1 is in the last bin
    assert calibration(counts([-3.0, 2.0], [True, False])) == []  # raw logits say nothing of shares
    assert risk_coverage(counts([], [])) == []


def test_a_stage_is_blamed_only_where_the_interval_allows_it(made_up, runs, tmp_path):
    stages = {"num_errors_detector": 9, "num_errors_scorer": 6, "stage_difference_ci95": [-0.02, 0.08]}
    assert "Neither stage stands out" in _blame(stages)
    assert "the detector is the stage" in _blame({**stages, "stage_difference_ci95": [0.01, 0.08]})
    assert "the scorer is the stage" in _blame({**stages, "stage_difference_ci95": [-0.1, -0.01]})


def test_the_interval_of_the_blame_and_the_matrix_of_kinds(made_up, runs, tmp_path):
    from core.cuts import CutConfig
    from data.captions import read_annotations
    from eval.answered import answered_run
    from eval.runs import find_runs
    from eval.statistics import bootstrap_by_image

    store, truth = made_up.store(tmp_path, num_images=30)
    runs.draw_images(read_annotations(truth)[:1], tmp_path / "images", made_up.size)
    runs.export(made_up, store, truth, tmp_path / "run", tmp_path / "images", CutConfig(0.6, 0.5, 20))
    run, lacking = answered_run(find_runs(str(tmp_path / "run")), "run")
    assert lacking is None
    stages = attribution(run.cases)
    signs = {"detector": 1, "scorer": -1, "right": 0}
    lost = np.asarray([signs[c.stage] for c in run.cases], float)
    assert stages["stage_difference"] == pytest.approx(lost.mean())
    assert stages["stage_difference_ci95"] == list(bootstrap_by_image(lost, [c.outcome.image for c in run.cases]))
    matrix = matrix_of(run.cases)
    assert sum(cell["count"] for _, cells in matrix.rows for cell in cells) == len(run.cases)
    right = sum(c.fate == "right" for c in run.cases)
    assert sum(cell["count"] for _, cells in matrix.rows for cell in cells if cell["same"]) >= right


def test_addresses_and_words_within_the_page():
    assert link(kind="a&b=c", look_alikes="within 100 px") == "#/kind=a%26b%3Dc&look-alikes=within+100+px"
    assert link(margin=(None, 0.5)) == "#/margin=..0.5"
    offers = {"fixed": False, "keys": {"detector": "d"}, "nms_ious": [0.5], "max_dets": [20], "floor": 0.1}
    row = {"detector": "d", "confidence": 0.2, "nms_iou": 0.5, "max_det": 20, "absent_below": None}
    assert setting_link(row, offers) == "#/w.confidence=0.2&w.nms_iou=0.5&w.max_det=20&w.absent_below=null"
    for other in ({"detector": "e"}, {"confidence": 0.05}, {"nms_iou": 0.3}, {"max_det": 100}):
        assert setting_link(row | other, offers) is None, other
    assert setting_link(row, {**offers, "fixed": True}) is None
    told = script_json({"a": "</script><!-- & \u2028 \ud800"})
    assert not set(told) & set("<>&\u2028")
    assert "\\u003c/script" in told
