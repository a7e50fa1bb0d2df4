"""Protocols against numbers worked out by hand, on sets that tell their quirks apart."""

import json
from fractions import Fraction

import pytest

from core.errors import InputError
from core.values import Annotation, FoundBox, Prediction
from eval.answers.outcomes import Outcome, outcome_of
from eval.grounding import main
from eval.protocols import grefcoco, ours, refdrone, refdrone_vlm, rsvg, vrsbench

A, B = (0, 0, 100, 100), (200, 0, 100, 100)
HALF = (0, 0, 100, 50)  # IoU with A exactly one half
FAR = (600, 600, 50, 50)


def asked(truths, *boxes, scores=None, told=True, tags=()) -> Outcome:
    """The outcome of a caption with these targets that was answered with these boxes."""
    found = [FoundBox(b, s) for b, s in zip(boxes, scores or [0.9] * len(boxes), strict=True)]
    best = found[0] if found else FoundBox((0, 0, 0, 0))
    answer = Prediction("a.jpg", "x", best.box_ltwh if found else None, best.score, others=tuple(found[1:]))
    return outcome_of("a.jpg", Annotation("x", tuple(truths), tags=tags), answer if told else None)


def test_one_half_is_a_hit_for_the_benchmarks_and_none_for_us():
    outcomes = [asked([A], HALF)]
    assert ours.judge(outcomes)["accuracy"] == ours.judge(outcomes)["exact_share"] == 0
    assert refdrone.judge(outcomes)["single_acc"] == grefcoco.judge(outcomes)["F1_score"] == 1
    assert rsvg.judge(outcomes)["Pr@0.5"] == 0  # strict, as ours
    assert refdrone_vlm.judge(outcomes)["single_acc"] == 1  # the hull is A itself, so GIoU is 0.5 too


def test_false_alarms_on_a_caption_for_nothing():
    """Two boxes where nothing is, one target found beside: RefDrone counts one false alarm, the others two."""
    outcomes = [asked([], A, FAR), asked([B], B)]
    assert refdrone.judge(outcomes)["instance_F1"] == pytest.approx(2 / (2 + 1))
    assert refdrone_vlm.judge(outcomes)["instance_F1"] == pytest.approx(2 / (2 + 2))
    assert ours.judge(outcomes)["instance_f1"] == pytest.approx(2 / (2 + 2))
    assert ours.judge(outcomes)["instance_precision"] == pytest.approx(1 / 3)
    for rules in (refdrone, refdrone_vlm):
        told = rules.judge(outcomes)
        assert (told["image_F1"], told["image_acc"]) == (pytest.approx(2 / 3), 0.5)
    assert grefcoco.judge(outcomes) == {"F1_score": 0.5, "N_acc": 0.0, "T_acc": 1.0}


def test_an_empty_answer_wins_what_each_protocol_gives_it():
    outcomes = [asked([]), asked([A]), asked([A, B]), asked([B])]
    told = refdrone.judge(outcomes)
    assert told["instance_F1"] == told["image_F1"] == 0
    assert told["instance_acc"] == pytest.approx(1 / 5)  # one true negative, four targets missed
    assert told["image_acc"] == pytest.approx(1 / 4)
    assert grefcoco.judge(outcomes) == {"F1_score": 0.25, "N_acc": 1.0, "T_acc": 0.0}
    strict = ours.judge(outcomes)
    assert (strict["none_accuracy"], strict["target_accuracy"], strict["exact_share"]) == (1.0, 0.0, 0.25)


def test_no_answer_at_all_is_right_for_the_vlm_kit_and_a_miss_for_us():
    outcomes = [asked([], told=False), asked([A], told=False)]
    assert refdrone_vlm.judge(outcomes)["image_acc"] == 0.5
    assert (ours.judge(outcomes)["none_accuracy"], ours.judge(outcomes)["exact_share"]) == (0.0, 0.0)
    assert not outcomes[0].hit
    assert not outcomes[0].is_exact


def test_scores_below_seven_tenths_do_not_count_where_the_benchmark_cuts():
    outcomes = [asked([A], A, FAR, scores=[0.8, 0.6])]
    assert refdrone.judge(outcomes)["image_acc"] == grefcoco.judge(outcomes)["F1_score"] == 1
    assert refdrone.judge(outcomes, 0.5)["image_acc"] == grefcoco.judge(outcomes, 0.5)["F1_score"] == 0
    assert refdrone.judge(outcomes, 0.5)["instance_F1"] == pytest.approx(2 / 3)
    assert refdrone_vlm.judge(outcomes)["image_acc"] == ours.judge(outcomes)["exact_share"] == 0
    assert ours.judge(outcomes)["accuracy"] == 1  # the best box is right
    unscored = [asked([A], A, scores=[None])]
    assert refdrone.judge(unscored)["image_acc"] == 1


def test_the_generalised_iou_is_stricter_where_boxes_lie_askew():
    """Two squares of 100, 20 px apart in both directions: IoU 0.64 / 1.36 = 0.47; 14 px: 0.587, GIoU 0.566."""
    moved = (18, 18, 100, 100)  # overlap 82 * 82 = 6724, union 13276, hull 118 * 118 = 13924
    iou, giou = 6724 / 13276, 6724 / 13276 - (13924 - 13276) / 13924
    assert refdrone_vlm.giou_ltwh(A, moved) == pytest.approx(giou)
    assert giou < 0.5 < iou
    outcomes = [asked([A], moved)]
    assert refdrone.judge(outcomes)["single_acc"] == ours.judge(outcomes)["accuracy"] == 1
    assert refdrone_vlm.judge(outcomes)["single_acc"] == 0


def test_the_vlm_kit_thins_boxes_in_the_order_of_the_answer_and_takes_zeros_for_nothing():
    nearly = (5, 0, 100, 100)  # IoU 0.9 with A
    outcomes = [asked([A], A, nearly)]
    assert refdrone_vlm.judge(outcomes)["image_acc"] == 1
    assert refdrone.judge(outcomes)["image_acc"] == ours.judge(outcomes)["exact_share"] == 0
    assert refdrone_vlm.judge([asked([], (0, 0, 0, 0))])["image_acc"] == 1


def test_matching_is_one_to_one_by_descending_overlap():
    between = (0, 0, 100, 90)
    outcomes = [asked([A, B], between, A, B)]  # A takes the equal box, `between` is left over
    assert refdrone.judge(outcomes)["instance_F1"] == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert ours.judge(outcomes)["instance_recall"] == 1
    assert outcomes[0].num_matched == 2


def test_cumulative_iou_is_the_large_targets():
    small, large = (0, 0, 10, 10), (0, 0, 400, 400)
    outcomes = [asked([small], FAR), asked([large], (0, 0, 400, 300))]
    told = rsvg.judge(outcomes)
    assert told["meanIoU"] == pytest.approx((0 + 0.75) / 2)
    assert told["cumIoU"] == pytest.approx(120_000 / (100 + 2500 + 160_000))
    assert [told[f"Pr@{t}"] for t in (0.5, 0.7, 0.8)] == [0.5, 0.5, 0.0]
    silent = rsvg.judge([asked([large]), asked([small], small)])
    assert silent["cumIoU"] == pytest.approx(100 / 160_100)


def test_plus_one_on_the_grid_turns_a_miss_into_a_hit():
    """A target of 5 x 5 cells answered one cell off in both directions: plain 16 / 34 = 0.471, with +1 25 / 47."""
    cell = 5.12
    five, beside = (10 * cell, 10 * cell, 5 * cell, 5 * cell), (11 * cell, 11 * cell, 5 * cell, 5 * cell)
    lax = Fraction(5 * 5, 36 + 36 - 25)
    assert asked([five], beside).iou == pytest.approx(16 / 34)
    assert float(lax) == pytest.approx(0.532, abs=5e-4)
    outcomes = [asked([five], beside, tags=(("unique", "true"),)), asked([five], five, tags=(("unique", "false"),))]
    told = vrsbench.judge(outcomes)
    assert (told["Acc@0.5"], told["Acc@0.7"]) == (1.0, 0.5)
    assert (told["Acc@0.5_unique"], told["Acc@0.7_unique"], told["Acc@0.7_other"]) == (1.0, 0.0, 1.0)
    assert told["meanIoU"] == pytest.approx((float(lax) + 1) / 2)
    assert told["cumIoU"] == pytest.approx((25 + 36) / (47 + 36))
    assert ours.judge(outcomes)["accuracy"] == 0.5
    assert vrsbench.judge([outcomes[0], asked([five])])["cumIoU"] == pytest.approx(float(lax))  # silence is left out
    assert vrsbench.on_grid((41 * cell, 99 * cell, 600, 600)) == (41, 99, 100, 100)


@pytest.mark.parametrize("rules", [rsvg, vrsbench])
def test_protocols_of_one_box_refuse_several_and_none(rules):
    with pytest.raises(InputError, match="is for captions with one target; 1 of 2 have several or none"):
        rules.judge([asked([A], A), asked([])])


def test_the_command_prints_the_protocol_beside_our_strict_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    truth = [{"caption": "one", "bbox": A}, {"caption": "two", "boxes": [A, B]}, {"caption": "none", "boxes": []}]
    answers = [{"caption": "one", "bbox": HALF}, {"caption": "two", "boxes": [B, A]}, {"caption": "none", "bbox": None}]
    for name, entries in (("t", truth), ("p", answers)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"image": "a.jpg", "annotations": entries}))
    main(["truth=t.jsonl", "predictions=p.jsonl", "protocol=refdrone", "run_dir=out"])
    told = json.loads((tmp_path / "out/metrics.json").read_text())
    assert told["protocol"]["name"] == "refdrone"
    assert (told["protocol"]["image_acc"], told["exact_share"]) == (1.0, pytest.approx(2 / 3))
    assert (told["num_captions_one"], told["num_captions_several"], told["num_captions_none"]) == (1, 1, 1)
    row = next(line for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["image_acc"])
    assert row.split()[1:] == ["1.0000", "0.6667", "exact_share"]
