"""The report's page in headless Chromium: every caption in reach, every number a link, sliders against sweeps."""

import json
import re
from dataclasses import replace
from html import unescape
from shutil import copytree, ignore_patterns
from urllib.parse import parse_qs

import numpy as np
import pytest

from core.choosing import ChoosingConfig, ChoosingMethod, Combining, Select
from core.cuts import CutConfig, candidates_of
from core.pixels import pixel_boxes
from core.store import CandidateStore
from data.captions import read_annotations
from eval.report import main
from eval.sweep import main as sweep
from eval.sweep.points import Sweeper, SystemPoint
from eval.sweep.replay import Replay


@pytest.fixture(scope="module")
def made(made_up, runs, tmp_path_factory):
    """An export with captions of several targets and none, its sweep lists, and its report."""
    root = tmp_path_factory.mktemp("page")
    store, truth = made_up.store(root, num_images=60)
    runs.mix(truth)
    runs.draw_images(read_annotations(truth), root / "images", made_up.size)
    lists = "sweep:\n  confidence: [0.05]\n  nms_iou: [0.3, 0.7]\n  max_det: [6]\n"
    choosing = ChoosingConfig(confidence_weight=0.2, absent_below=0.05)
    cut = CutConfig(0.3, 0.5, 20)
    runs.export(made_up, store, truth, root / "run", root / "images", cut, choosing, lists)
    sweep([f"candidates={store.folder}", f"truth={truth}", "confidence=[0.1,0.4]", "nms_iou=[0.3,0.5]",
           "confidence_weight=[0,0.3]", f"run_dir={root}/run/sweep"])  # fmt: skip
    main([f"run={root}/run", f"run_dir={root}/report", "png=false"])
    return root


@pytest.fixture
def report(made, page):
    page.events.clear()
    page.visit(made / "report/report.html")
    yield page
    assert page.complaints() == []


def point_of(draw):
    select = list(Select)[draw.integers(2)]
    joint = select is Select.best and draw.random() < 0.5
    cut = CutConfig(
        round(float(draw.uniform(0.05, 0.9)), 3), float(draw.choice([0.3, 0.5, 0.7])), int(draw.choice([6, 20]))
    )
    return SystemPoint("*", cut, "detectorkey", "none-scorerkey", ChoosingConfig(
        confidence_weight=round(float(draw.uniform(0, 1)), 2), combine=list(Combining)[draw.integers(3)],
        absent_below=None if draw.random() < 0.4 else round(float(draw.uniform(0, 0.9)), 3),
        select=select, method=ChoosingMethod.assignment if joint else ChoosingMethod.best,
        above=round(float(draw.uniform(0.05, 0.95)), 3)))  # fmt: skip


def test_the_page_answers_as_the_sweep_does(made, report):
    """Twenty random settings by hand: every figure is the sweep's to the last digit."""
    sweeper = Sweeper(Replay(CandidateStore(made / "candidates"), read_annotations(made / "truth.jsonl")))
    draw, seen = np.random.default_rng(1), set()
    for _ in range(20):
        point = point_of(draw)
        chosen = point.choosing
        report.put("confidence", point.cut.confidence)
        report.put("nms_iou", str(point.cut.nms_iou))
        report.put("max_det", str(point.cut.max_det))
        report.put("weight", chosen.confidence_weight)
        report.put("combine", chosen.combine.value)
        report.put("absent", chosen.absent_below is not None)
        if chosen.absent_below is not None:
            report.put("absent_below", chosen.absent_below)
        report.put("select", chosen.select.value)
        report.put("method", chosen.method.value)
        report.put("above", chosen.above)
        told, row = report.figures(), sweeper.figures(point)
        assert {name: told[name] for name in told} == {name: row[name] for name in told}, point
        assert set(told) >= {"num_hits", "accuracy", "ceiling", "none_accuracy", "instance_f1", "exact_share", "f1"}
        seen.add(tuple(told.values()))
    assert len(seen) > 15
    report.ask("document.querySelector('#settings [type=reset]').click()")
    own = json.loads((made / "run/grounding/metrics.json").read_text())
    assert {name: report.figures()[name] for name in ("accuracy", "num_hits", "exact_share")} == {
        name: own[name] for name in ("accuracy", "num_hits", "exact_share")
    }


def test_answers_that_are_not_the_settings_are_told(made, page, tmp_path):
    """As a re-ranker's: the page says how many, and its cards still show what the run answered."""
    copy = tmp_path / "run"
    copytree(made / "run", copy, ignore=ignore_patterns("grounding", "sweep"))
    lines = [json.loads(line) for line in (copy / "predictions.jsonl").read_text().splitlines()]
    right = [line["hit"] for line in map(json.loads, (made / "run/grounding/outcomes.jsonl").read_text().splitlines())]
    answers = [answer for line in lines for answer in line["annotations"]]
    first = next(m for m, hit in enumerate(right) if hit and answers[m].get("bbox"))
    answers[first]["bbox"] = [0, 0, 3, 3]
    (copy / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    main([f"run={copy}", f"run_dir={tmp_path}/report", "png=false"])
    page.visit(made / "report/report.html")
    assert page.ask("document.querySelector('#differs').hidden")
    page.visit(tmp_path / "report/report.html")
    assert "answered 1 of " in page.ask("document.querySelector('#differs').textContent")
    page.go(f"#/caption={first}")
    assert page.ask("document.querySelector('#enlarged .tag').textContent") != "right"


def test_every_caption_is_in_reach(made, report):
    truth = read_annotations(made / "truth.jsonl")
    number = sum(len(entry.annotations) for entry in truth)
    assert report.count() == number
    seen = set(report.cards())
    assert len(seen) < number  # only those in sight are made
    while report.ask("scrollY + innerHeight < document.documentElement.scrollHeight - 2"):
        report.ask(
            "scrollBy({top: 600, behavior: 'instant'}); "
            "new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"
        )
        seen |= set(report.cards())
    assert seen == set(range(number))


def test_the_selection_comes_back_as_annotations(made, report, tmp_path):
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in report.lines()))
    copied, truth = (read_annotations(p) for p in (tmp_path / "lines.jsonl", made / "truth.jsonl"))
    assert [(e.image, e.annotations) for e in copied] == [(e.image, e.annotations) for e in truth]
    report.go("#/kind=jet&fate=right")
    captions = [a["caption"] for line in report.lines() for a in line["annotations"]]
    assert len(captions) == report.count()
    assert captions
    assert set(captions) <= {"red jet", "blue jet"}


def test_cells_of_the_sweep_lead_to_what_is_wrong_at_their_setting(made, report):
    rows = json.loads((made / "run/sweep/sweep.json").read_text())
    html = (made / "report/report.html").read_text()
    links = re.findall(r'<a href="(#/w[^"]*)"', html.split('id="sweep"')[1].split("<table")[0])
    assert len(links) >= 8  # two maps and more of four cells each
    asked = {unescape(link) for link in links}
    for link in asked:
        told = {name: value[0] for name, value in parse_qs(link[2:]).items()}
        (row,) = [r for r in rows if all(str(r[name]) == told[f"w.{name}"] for name in ("confidence", "nms_iou"))
                  and str(r["confidence_weight"]) == told["w.weight"]]  # fmt: skip
        report.go(link)
        assert report.count() == round((1 - row["exact_share"]) * row["num_captions"]), link
        assert report.figures()["accuracy"] == row["accuracy"]


def test_order_keys_and_links(made, report):
    report.go("#/sort=-iou&fate=right")
    overlap = "[...document.querySelectorAll('.card')].map((c) => Number(c.textContent.match(/IoU ([\\d.]+)/)[1]))"
    report.wait("document.querySelectorAll('.card').length > 3")  # it scrolls there
    values = report.ask(overlap)
    assert values == sorted(values, reverse=True)
    cards = report.cards()
    report.ask("document.querySelector('.card .name').focus()")
    report.press("ArrowRight")
    assert report.ask("document.activeElement.closest('.card').dataset.caption") == str(cards[1])
    report.ask("document.activeElement.click(); new Promise((r) => setTimeout(r, 50))")
    assert report.ask("document.querySelector('#enlarged').open")
    assert f"caption={cards[1]}" in report.ask("location.hash")
    rows = report.ask("document.querySelectorAll('#enlarged tbody tr').length")
    assert rows > 1
    report.press("ArrowRight")
    assert f"caption={cards[2]}" in report.ask("location.hash")
    assert report.ask("document.querySelector('#enlarged .place').textContent").startswith("3 of ")
    link = report.ask("location.hash")
    report.visit(made / "report/report.html", link)
    assert report.ask("document.querySelector('#enlarged .place').textContent").startswith("3 of ")
    report.wait("document.querySelector('#enlarged image').getAttribute('href').startsWith('./../images/')")
    report.ask("document.querySelector('#enlarged .close').click(); new Promise((r) => setTimeout(r, 50))")
    assert "caption=" not in report.ask("location.hash")
    assert report.ask("document.activeElement.closest('.card').dataset.caption") == str(cards[2])


def test_cards_follow_the_settings(made, report):
    report.go("#/w.confidence=0.7&versus=broken")
    broken = report.count()
    figures = report.figures()
    report.go("#/w.confidence=0.7&versus=fixed")
    fixed = report.count()
    report.go("#/")
    assert broken > 0
    number = sum(len(entry.annotations) for entry in read_annotations(made / "truth.jsonl"))
    assert round((figures["exact_share"] - report.figures()["exact_share"]) * number) == fixed - broken


def test_on_paper_stand_the_first_cards_and_narrow_windows_do_not_scroll_sideways(made, report):
    number = report.count()
    report.ask("dispatchEvent(new Event('beforeprint'))")
    assert len(report.cards()) == min(60, number)
    report.ask("dispatchEvent(new Event('afterprint'))")
    assert len(report.cards()) < 60
    assert (
        report.ask(
            "document.querySelectorAll('[aria-label=\"\"], img:not([alt]), svg[role=img]:not([aria-label])').length"
        )
        == 0
    )
    fields = "[...document.querySelectorAll('button, input, select, textarea')]"
    assert report.ask(f"{fields}.filter((e) => !e.labels?.length && !e.ariaLabel && !e.textContent).length") == 0
    for width in (390, 1280):
        report.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        report.ask("new Promise((r) => setTimeout(r, 100))")
        assert report.ask("document.documentElement.scrollWidth") <= width
        wide = "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth + 1)"
        assert report.ask(f"{wide}.map((e) => [e.textContent.slice(0, 60), e.scrollWidth, e.clientWidth])") == [], width


@pytest.mark.parametrize(
    ("made_with", "cut", "settings"),
    [
        ({"num_views": 2}, CutConfig(0.3, 0.5, 20), [{"weight": 0.3}, {"above": 0.4, "select": "above"}]),  # fused
        ({}, CutConfig(0.3, 0.5, 20, vote_iou=0.6), [{"weight": 0.3, "combine": "posterior"}]),  # boxes moved by votes
        ({"sigmoid": False}, CutConfig(0.3, 0.5, 20), [
            {"confidence": 0.61, "combine": "product", "weight": 0.4}, {"confidence": 0.5, "absent_below": 2.5},
            {"select": "above", "above": -1.5}]),
    ],
)  # fmt: skip
def test_other_kinds_of_stores_answer_as_the_sweep_does(made_up, runs, page, tmp_path, made_with, cut, settings):
    """Several views and votes keep the run's own cuts; raw logits are compared in single precision, as numpy does."""
    store, truth = made_up.store(tmp_path, num_images=20, **made_with)
    runs.draw_images(read_annotations(truth)[:2], tmp_path / "images", made_up.size)
    embed_moved(made_up, store, truth, cut)
    more = "" if cut.vote_iou is None else f"vote_iou: {cut.vote_iou}\n"
    runs.export(made_up, store, truth, tmp_path / "run", tmp_path / "images", cut, more=more)
    main([f"run={tmp_path}/run", f"run_dir={tmp_path}/report", "png=false"])
    page.visit(tmp_path / "report/report.html")
    is_fixed = bool(cut.vote_iou) or "num_views" in made_with
    assert page.ask("!document.querySelector('#settings').elements.confidence") == is_fixed
    sweeper = Sweeper(Replay(store, read_annotations(truth)))
    for moved in [{}, *settings]:
        page.ask("document.querySelector('#settings [type=reset]').click()")
        for name, value in moved.items():
            if name == "absent_below":
                page.put("absent", True)
            page.put(name, value)
        choosing = ChoosingConfig(
            confidence_weight=moved.get("weight", 0.0), combine=Combining[moved.get("combine", "sum")],
            select=Select[moved.get("select", "best")], above=moved.get("above", 0.5),
            absent_below=moved.get("absent_below"))  # fmt: skip
        own = replace(cut, confidence=moved.get("confidence", cut.confidence))
        row, told = sweeper.figures(SystemPoint("*", own, "detectorkey", "none-scorerkey", choosing)), page.figures()
        assert told == {name: row[name] for name in told}, moved
        assert "accuracy" in told
    assert page.complaints() == []


def embed_moved(made_up, store, truth, cut):
    """Score the crops of boxes that no proposal has: those that votes moved."""
    draw, annotated = np.random.default_rng(3), read_annotations(truth)
    digests = store.find_digests([entry.image for entry in annotated])
    for entry in annotated:
        found = candidates_of(store.read_views("detectorkey", digests[entry.image]), cut)
        pixels = pixel_boxes(found.boxes_xyxy, *made_up.size)
        known, vectors = store.read_embeddings("none-scorerkey", digests[entry.image])
        fresh = [box for box in pixels.tolist() if box not in known.tolist()]
        if fresh:
            drawn = draw.normal(size=(len(fresh), vectors.shape[1])).astype(np.float32)
            drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
            store.add_embeddings("none-scorerkey", digests[entry.image], np.asarray(fresh, np.int32), drawn)
