"""Score separation and caption confusion on toys whose answers can be counted by hand, and against the ROC area."""

import numpy as np
import pytest

from eval.separation import BACKGROUND, ScoredCaption, confusion, right_and_other_scores, separation


def caption(name, scores, right, taken=None):
    return ScoredCaption("a.jpg", name, np.array(scores, float), np.array(right, bool), taken or name)


def test_all_right_above_all_others_is_one_and_ties_count_half():
    assert separation([caption("a", [3, 2, 1], [1, 0, 0])]) == {"captions": 1, "above": 1.0, "first": 1.0}
    tied = separation([caption("a", [1, 1, 0], [1, 0, 0])])
    assert tied["above"] == pytest.approx(0.75)


def test_a_caption_without_right_or_without_other_candidates_says_nothing():
    one_sided = [caption("a", [1, 2], [1, 1]), caption("a", [1, 2], [0, 0])]
    assert separation([*one_sided, caption("b", [1, 2], [1, 0])]) == {"captions": 1, "above": 0.0, "first": 0.0}


def test_above_is_the_area_under_the_roc_curve():
    from scipy.stats import mannwhitneyu

    draw = np.random.default_rng(0)
    scores, right = draw.integers(0, 9, 40).astype(float), draw.random(40) < 0.3
    area = mannwhitneyu(scores[right], scores[~right]).statistic / (right.sum() * (~right).sum())
    assert separation([caption("a", scores, right)])["above"] == pytest.approx(area)


def test_right_and_other_scores_are_all_of_them():
    right, others = right_and_other_scores([caption("a", [3, 2], [1, 0]), caption("b", [5, 4], [0, 1])])
    assert (right.tolist(), others.tolist()) == ([3, 4], [2, 5])
    assert [len(part) for part in right_and_other_scores([])] == [0, 0]


def test_confusion_counts_what_was_taken_for_what():
    scored = [caption("a", [1], [1]), caption("a", [1], [0], "b"), caption("b", [1], [0], BACKGROUND)]
    asked, taken, counts = confusion(scored)
    assert (asked, taken) == (["a", "b"], ["a", "b", BACKGROUND])
    assert counts.tolist() == [[1, 1, 0], [0, 0, 1]]
