"""Two runs on one page: differences, what was fixed and broken and by which stage; each number leads to its cards."""

import json
import re
from html import unescape

import numpy as np
import pytest

from core.choosing import ChoosingConfig
from core.cuts import CutConfig
from data.captions import read_annotations
from eval.compare import main as compare
from eval.report import main
from eval.statistics import mcnemar


@pytest.fixture(scope="module")
def two(made_up, runs, tmp_path_factory):
    """Two exports over one truth, the second at another cut and weight, and their report."""
    root = tmp_path_factory.mktemp("two")
    store, truth = made_up.store(root, num_images=40)
    runs.draw_images(read_annotations(truth), root / "images", made_up.size)
    for name, cut, weight in (("A", CutConfig(0.75, 0.5, 20), 0.0), ("B", CutConfig(0.3, 0.5, 20), 0.4)):
        runs.export(made_up, store, truth, root / name, root / "images", cut, ChoosingConfig(confidence_weight=weight))
    main([f"runs=[{root}/A,{root}/B]", f"run_dir={root}/report", "png=false"])
    return root


@pytest.fixture
def report(two, page):
    page.events.clear()
    page.visit(two / "report/report.html")
    yield page
    assert page.complaints() == []


def outcomes(folder):
    lines = (folder / "grounding/outcomes.jsonl").read_text().splitlines()
    return np.asarray([json.loads(line)["hit"] for line in lines])


def test_the_page_says_what_eval_compare_says(two, tmp_path):
    compare([f"runs=[{two}/A/grounding,{two}/B/grounding]", f"run_dir={tmp_path}/compare"])
    (expected,) = json.loads((tmp_path / "compare/comparison.json").read_text())["differences"]
    (pair,) = json.loads((two / "report/report.json").read_text())["pairs"]
    assert pair["difference"] == expected["difference"]
    assert pair["ci95"] == [expected["ci95_low"], expected["ci95_high"]]
    assert (pair["p_value"], pair["verdict"]) == (expected["p_value"], expected["verdict"])
    a, b = outcomes(two / "A"), outcomes(two / "B")
    counts = {name: cell["count"] for name, cell in pair["counts"].items()}
    assert counts == {"both right": (a & b).sum(), "fixed": (~a & b).sum(), "broken": (a & ~b).sum(),
                      "both wrong": (~a & ~b).sum()}  # fmt: skip
    assert pair["p_value"] == mcnemar(counts["broken"], counts["fixed"])
    for name in ("fixed", "broken"):
        assert sum(row[name]["count"] for row in pair["stages"]) == counts[name]
        for rows in pair["groups"].values():
            assert sum(row[name]["count"] for row in rows) == counts[name]
    assert set(pair["groups"]) == {"kind", "colour", "size", "look-alikes"}
    fixed_by = {row["stage"]: row["fixed"]["count"] for row in pair["stages"]}
    assert fixed_by["detector"] > 0  # of A's cut many targets are not offered
    assert "Compared" in (two / "report/report.md").read_text()


def test_every_number_leads_to_its_captions(two, report):
    """Each link with a count as its text selects so many captions; each card shows both answers."""
    html = (two / "report/report.html").read_text()
    links = {(unescape(link), int(text)) for link, text in re.findall(r'<a href="(#/[^"]*)"[^>]*>(\d+)</a>', html)}
    assert len(links) > 40
    for link, number in sorted(links):
        report.go(link)
        assert report.count() == number, link
    report.go("#/versus=fixed")
    report.wait("document.querySelector('.card')")
    assert report.ask("document.querySelectorAll('.card:first-child .crops').length") == 2
    assert report.ask("document.querySelector('.card .outcome').textContent") == "fixed"
    assert report.ask("[...document.querySelectorAll('.card:first-child .whose')].map((e) => e.textContent)") == [
        "A",
        "B",
    ]
    tags = report.ask("[...document.querySelectorAll('.card:first-child .tag')].map((e) => e.textContent)")
    assert tags[0] != "right"
    assert tags[1] == "right"


def test_bars_and_points_lead_to_as_many_as_they_show(two, report):
    numbers = json.loads((two / "report/report.json").read_text())["breakdowns"]
    for by in ("kind", "size", "look-alikes"):
        for row in numbers[by]:
            report.go(f"#/{by}={row[by]}&answer=right")
            assert report.count() == round(row["accuracy"] * row["captions"]), (by, row)
    html = (two / "report/report.html").read_text()
    points = [unescape(link) for link in re.findall(r'<a href="(#/score=[^"]*)"', html)]
    assert len(points) > 10
    counts = []
    for link in points:
        report.go(link)
        counts.append(report.count())
    total = int(report.ask("document.querySelector('#count').textContent").split()[2])
    assert total in counts  # everything is answered at the end of the risk-coverage curve
    assert all(counts)


def test_a_one_stage_run_beside_a_chain(made_up, two, runs, tmp_path):
    """Its boxes stand for each caption by itself, and its store says who lost what."""
    from core.grounded import Said, write_said
    from core.stages import View
    from core.store import CandidateStore
    from core.values import Candidates

    truth, old = read_annotations(two / "truth.jsonl"), CandidateStore(two / "candidates")
    store = CandidateStore(tmp_path / "C/candidates")
    digests = old.find_digests([entry.image for entry in truth])
    draw, answers = np.random.default_rng(0), {}
    for entry in truth:
        for a in entry.annotations:
            left, top, width, height = a.boxes_ltwh[0]
            good = [left, top, left + width, top + height]
            far = [(left + 150) % 250, top, (left + 150) % 250 + width, top + height]
            boxes = np.asarray([good, far] if draw.random() < 0.6 else [far], np.float32)
            sure = np.sort(draw.uniform(0.4, 1, len(boxes)).astype(np.float32))[:: draw.choice([-1, 1])]
            said = Said((View("onestage/plain", Candidates(boxes, sure)),))
            write_said(store, "said", digests[entry.image], a.caption, said)
            best = boxes[int(sure.argmax())].tolist()
            box = [best[0], best[1], best[2] - best[0], best[3] - best[1]]
            best = {"caption": a.caption, "bbox": box, "score": float(sure.max()), "confidence": float(sure.max())}
            answers.setdefault(entry.image, []).append(best)
    store.describe("proposals", "onestagekey", {"detector": {}, "grounded": "said"})
    store.write_set(digests, dict.fromkeys(digests, made_up.size))
    config = f"annotations: {two}/truth.jsonl\nimages: {two}/images\nconfidence: 0.3\nnms_iou: 0.5\nmax_det: 20\n"
    runs.record(tmp_path / "C", "pipeline.export", config, {"detector_key": "onestagekey"})
    lines = [json.dumps({"image": image, "annotations": found}) for image, found in answers.items()]
    (tmp_path / "C/predictions.jsonl").write_text("\n".join(lines) + "\n")
    main([f"runs=[{two}/A,{tmp_path}/C]", f"run_dir={tmp_path}/report", "png=false"])
    told = json.loads((tmp_path / "report/report.json").read_text())
    fates = told["stages"]["fates"]
    assert fates["missed"] + fates["mislocated"] > 0  # where the right box was never said
    assert fates["other target"] + fates["background"] > 0  # where another one was surer
    (pair,) = told["pairs"]
    assert sum(row["fixed"]["count"] for row in pair["stages"]) == pair["counts"]["fixed"]["count"] > 0


def test_a_one_stage_page_answers_as_its_sweep(made_up, two, page, tmp_path, runs):
    test_a_one_stage_run_beside_a_chain(made_up, two, runs, tmp_path)
    from core.choosing import Select
    from core.store import CandidateStore
    from eval.sweep.points import Sweeper, SystemPoint
    from eval.sweep.replay import GroundedReplay

    page.visit(tmp_path / "report/report.html")
    truth = read_annotations(two / "truth.jsonl")
    sweeper = Sweeper(GroundedReplay(CandidateStore(tmp_path / "C/candidates"), truth))
    for select, above, absent in ((Select.best, 0.5, 0.7), (Select.above, 0.66, None), (Select.best, 0.5, None)):
        page.put("select", select.value)
        page.put("above", above)
        page.put("absent", absent is not None)
        if absent is not None:
            page.put("absent_below", absent)
        page.put("confidence", 0.61)
        choosing = ChoosingConfig(select=select, above=above, absent_below=absent)
        row = sweeper.figures(SystemPoint("*", CutConfig(0.61, 0.5, 20), "onestagekey", None, choosing))
        told = page.figures()
        assert told == {name: row[name] for name in told}


def test_other_captions_and_the_same_run_twice_are_one_clear_line(made_up, two, runs, refused, tmp_path):
    store, truth = made_up.store(tmp_path, num_images=3, seed=5)
    runs.draw_images(read_annotations(truth), tmp_path / "images", made_up.size)
    runs.export(made_up, store, truth, tmp_path / "D", tmp_path / "images", CutConfig(0.3, 0.5, 20))
    told = refused(main, [f"runs=[{two}/A,{tmp_path}/D]", f"run_dir={tmp_path}/r"])
    assert "only equal truths can be compared" in told
    assert "given twice" in refused(main, [f"runs=[{two}/A,{two}/A]", f"run_dir={tmp_path}/r"])
    assert "run: give a run folder" in refused(main, [f"run_dir={tmp_path}/r"])
