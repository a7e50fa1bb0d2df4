"""benchmarks/published_design.py: its words compose, its ratio is that of a toy, it goes on."""

import contextlib
import importlib
import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.designs.judging import error_ratio, is_met
from benchmarks.designs.plan import ASKED, FIRST, RATED, SCORERS, STEPS, TUNED_BY, Plan
from benchmarks.designs.work import Work, scaled
from core.cuts import CutConfig
from core.files import write_json
from core.values import AnnotatedImage, Annotation
from data.captions import write_annotations

IMAGE = AnnotatedImage("a.jpg", (Annotation("grey missile", ((100, 50, 20, 10),)),))


def test_errors_of_a_toy():
    images = [f"{n}.jpg" for n in range(40) for _ in range(5)]
    a = np.arange(200) % 2 == 0  # every second caption is wrong
    b = a | (np.arange(200) % 4 == 1)  # half of those are right now
    assert error_ratio(a, a, images) == [1, 1, 1]
    ratio, low, high = error_ratio(a, b, images)
    assert ratio == 0.5
    assert low <= ratio <= high
    assert low < high
    steps = [{"error_ratio": [1, 1, 1]}]
    assert is_met([*steps, {"error_ratio": [0.7, 0.6, 0.74]}])
    assert not is_met([*steps, {"error_ratio": [0.7, 0.6, 0.75]}])
    assert not is_met([*steps, {"error_ratio": [0.71, 0.6, 0.74]}])


def test_every_step_is_asked_and_changes_one_thing():
    for name, step in STEPS.items():
        assert step.asked in ASKED, name
        assert step.cuts is None or TUNED_BY[step.cuts] in ASKED
    assert all(ASKED[asked].swept for asked in TUNED_BY.values())
    assert {ASKED[step.asked].scorer for step in STEPS.values()} == set(SCORERS)
    assert {*FIRST} <= {*ASKED}
    assert {ASKED[name].scorer for name in FIRST} == {*RATED}
    first, last = (STEPS[name] for name in (next(iter(STEPS)), list(STEPS)[-1]))
    assert (first.cuts, first.vote) == (None, False)
    assert first.choosing != last.choosing
    assert len({repr(step) for step in STEPS.values()}) == len(STEPS)


def test_boxes_are_scaled_with_their_image():
    assert scaled(IMAGE, 0.6).annotations[0].boxes_ltwh == ((60, 30, 12, 6),)
    assert scaled(IMAGE, 0.6).annotations[0].caption == "grey missile"


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A work folder whose commands are only noted: what was asked, and metrics for what asks after them."""
    done = []

    def note(self, name, folder, *settings, apart=False):
        done.append((name, (*settings, f"run_dir={tmp_path}/{folder}")))
        rank = 0.5 + 0.1 * ("small" in folder and "2e-3" in folder)
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        write_json(tmp_path / folder / "metrics.json", {"ranking_accuracy": rank})
        return tmp_path / folder

    monkeypatch.setattr(Work, "command", note)
    plan = Plan(num_train=2, num_tune=1, num_val=1)
    write_annotations(tmp_path / "captions.jsonl", [replace(IMAGE, image=f"{n}.jpg") for n in range(4)])
    return Work(tmp_path, tmp_path / "captions.jsonl", plan, jobs=1), done


def test_every_command_composes_and_the_rates_are_the_better_ones(asked, capsys):
    work, done = asked
    work.draw()
    work.train_detectors(0)
    work.train_scorers(SCORERS, 0)
    assert [work.rate(name) for name in SCORERS] == ["1e-3"] * 4 + ["2e-3"] * 2
    work.export(ASKED, 0)
    work.enlarge()
    work.export_enlarged(ASKED["views"], "refusal", 0, CutConfig(0.02, 0.3, 20, vote_iou=0.6))
    trained = [words for name, words in done if name == "siglip.train"]
    assert len(trained) == len(SCORERS) + 2 * len(RATED) + len(RATED)
    seen = set()
    for name, words in done:
        shape = name, tuple(word.split("/")[0] for word in words if "run_dir" not in word)
        if shape in seen:
            continue
        seen.add(shape)
        with contextlib.suppress(SystemExit):
            importlib.import_module(name).main([*words, "--cfg", "job"])
        assert not capsys.readouterr().err, (name, words)
    assert {name for name, _ in seen} >= {"detector.train", "siglip.train", "pipeline.export", "upscale.fetch"}


def test_a_finished_command_is_not_run_again_and_costs_are_kept(tmp_path, capsys):
    write_annotations(tmp_path / "a.jsonl", [IMAGE])
    work = Work(tmp_path, tmp_path / "a.jsonl", Plan(), jobs=1)
    words = [f"annotations={tmp_path}/a.jsonl", "size=[160,96]", "workers=1"]
    for _ in range(2):
        scenes = work.command("data.scenes", "scenes", *words)
    assert capsys.readouterr().out.count("data.scenes") == 1
    assert json.loads((scenes / "cost.json").read_text())["cpu_s"] > 0
    work.command("data.scenes", "scenes", *words, "seed=1")  # other words: run again
    assert "seed=1" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"scenes\.log: data\.scenes failed"):
        work.command("data.scenes", "scenes", "size=[1,1]")


def test_a_training_that_was_cut_off_starts_anew_so_that_its_cost_is_whole(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("benchmarks.designs.work.run_here", lambda name, words, log: seen.append(list(left())) or 1.0)
    work, folder = Work(tmp_path, tmp_path / "a.jsonl", Plan(), jobs=1), tmp_path / "scorer"

    def left():
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []

    for name in ("siglip.train", "data.noise"):
        folder.mkdir(exist_ok=True)
        (folder / "state").touch()
        write_json(folder / "run.json", {"state": "failed", "command_line": []})
        work.command(name, "scorer", "seed=0")
    assert seen[0] == []
    assert "state" in seen[1]  # what goes on cheaply does
