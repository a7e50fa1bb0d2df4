"""eval.sweep: every point equal to the plain way through core, one after the other, whatever points share."""

import json
from itertools import product

import numpy as np
import pytest

from core.answering import Seen, answer, embeddings_of
from core.choosing import ChoosingMethod, Combining
from core.cuts import CutConfig, FusionConfig, FusionMethod, candidates_of
from core.errors import InputError
from core.pixels import pixel_box
from core.posterior import PosteriorWeights
from core.suppression import nms
from data.captions import read_annotations
from eval.answers.outcomes import iou_ltwh
from eval.boxes.average_precision import twelve_numbers
from eval.boxes.operating_point import cut_table, operating_point, published_ratios
from eval.boxes.table import make_table, truth_table
from eval.sweep import main, points_of, sweep
from eval.sweep.points import Sweeper
from eval.sweep.replay import Replay, suppress_at
from eval.sweep.settings import SweepConfig


def plain_way(made_up, store, truth_path, point):
    """A point by the pipeline's own functions, image after image."""
    truth = read_annotations(truth_path)
    digests = store.find_digests([t.image for t in truth])
    calibration = store.known("embeddings")["none-scorerkey"]["calibration"]
    texts, hits, sets = store.read_texts("scorerkey"), 0, []
    for entry in truth:
        views = store.read_views("detectorkey", digests[entry.image])
        candidates = candidates_of(views, point.cut)
        boxes = np.asarray([pixel_box(b, *made_up.size) for b in candidates.boxes_xyxy], np.int32).reshape(-1, 4)
        embeddings = embeddings_of(boxes, *store.read_embeddings("none-scorerkey", digests[entry.image]))
        captions = [a.caption for a in entry.annotations]
        scores = Seen(candidates, embeddings).scores(captions, texts, calibration)
        chosen = answer(candidates, scores, len(captions), point.choosing).chosen_M
        for place, annotation in zip(chosen, entry.annotations, strict=True):
            x1, y1, x2, y2 = candidates.boxes_xyxy[place].tolist()
            hits += iou_ltwh(annotation.boxes_ltwh[0], (x1, y1, x2 - x1, y2 - y1)) > 0.5
        sets.append(candidates)
    boxes = np.concatenate([s.boxes_xyxy for s in sets]).astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    image = np.repeat(np.arange(len(sets)), [len(s) for s in sets])
    return hits, make_table(image, boxes, np.concatenate([s.confidence for s in sets]), len(sets))


def config_of(store, truth, **settings):
    return SweepConfig(candidates=str(store.folder), truth=str(truth), **settings)


AXES = {
    "confidence": [0.0, 0.3, 0.62, 0.97],
    "nms_iou": [0.1, 0.5, 1.0],
    "max_det": [1, 5, 100],
    "method": [ChoosingMethod.best, ChoosingMethod.assignment],
    "confidence_weight": [0.0, 0.4],
    "combine": list(Combining),
}


def test_every_point_equals_the_plain_way(made_up, tmp_path):
    store, truth = made_up.store(tmp_path)
    config = config_of(store, truth, **AXES)
    rows, _ = sweep(config)
    points = points_of(config, store)
    assert len(rows) == len(points) == 4 * 3 * 3 * 2 * (2 * 2 + 1)
    true = truth_table(read_annotations(truth))
    for row, point in zip(rows, points, strict=True):
        hits, found = plain_way(made_up, store, truth, point)
        assert row["num_hits"] == hits
        passed = cut_table(found, np.float32(point.cut.confidence))
        assert row["num_tp"] == operating_point(passed, true)["num_tp"]
        assert row["num_predictions"] == len(passed)
        assert row["map50_over_predictions"] == published_ratios(passed, true)["map50_over_predictions"]
        reference = twelve_numbers(true, passed)
        assert row["AP_cut"] == pytest.approx(reference["AP"], abs=1e-12)
        assert row["AP50_cut"] == pytest.approx(reference["AP50"], abs=1e-12)


def test_raw_logits_are_combined_as_the_plain_way_does(made_up, tmp_path):
    store, truth = made_up.store(tmp_path, sigmoid=False)
    config = config_of(store, truth, **{**AXES, "confidence": [0.0], "nms_iou": [0.5, 1.0]})
    rows, _ = sweep(config)
    for row, point in zip(rows, points_of(config, store), strict=True):
        assert row["num_hits"] == plain_way(made_up, store, truth, point)[0]
    assert len({row["num_hits"] for row in rows if row["max_det"] == 100}) > 1


@pytest.mark.parametrize(
    ("methods", "scorers"), [([FusionMethod.nms, FusionMethod.none], []), ([FusionMethod.wbf], ["none"])]
)
def test_a_point_alone_equals_the_point_in_a_sweep(made_up, tmp_path, methods, scorers):
    store, truth = made_up.store(tmp_path, num_views=2)  # boxes that fusion makes have no crop in this store
    views = ["*/v1", "*"] if scorers else ["*", "*/v1"]
    axes = {**AXES, "fusion": methods, "wbf_iou": [0.4, 0.6], "views": views, "max_det": [5], "scorers": scorers}
    together, _ = sweep(config_of(store, truth, **axes))
    for number in range(0, len(together), 37):
        row = together[number]
        alone, _ = sweep(config_of(
            store, truth, confidence=[row["confidence"]], nms_iou=[row["nms_iou"]], max_det=[row["max_det"]],
            fusion=[FusionMethod(row["fusion"])], wbf_iou=[row["wbf_iou"]], views=[row["views"]],
            scorers=scorers, method=[ChoosingMethod(row["method"])],
            confidence_weight=[row["confidence_weight"]], combine=[Combining(row["combine"])]))  # fmt: skip
        assert alone == [row]


def test_fused_candidates_equal_the_plain_way(made_up, tmp_path):
    store, truth = made_up.store(tmp_path, num_views=3)
    replay = Replay(store, read_annotations(truth))
    by_name = FusionConfig(method=FusionMethod.wbf, wbf_iou=0.55, view_weights={"*/v1": 0.25})
    equally = FusionConfig(method=FusionMethod.wbf, wbf_iou=0.55)
    image = replay.images("detectorkey")[0]
    weighted, plain = (image.candidates(CutConfig(0.1, 0.5, 10, f)) for f in (by_name, equally))
    assert not np.array_equal(weighted.confidence, plain.confidence)  # the weights matter here
    for fusion in (
        by_name,
        equally,
        *(FusionConfig(method=m, wbf_iou=0.55, weights=w) for m in FusionMethod for w in ([], [1.0, 2.0, 0.5])),
    ):
        for (confidence, vote_iou), views in product(product((0.1, 0.5, 0.99), (None, 0.6)), ("*", "*/v1")):
            if views != "*" and fusion is not equally:
                continue
            cut = CutConfig(confidence, 0.5, 10, fusion, vote_iou)
            for image in replay.images("detectorkey", views):
                ours, _ = Sweeper(replay).candidates(image, cut)
                plain = candidates_of(image.views, cut)
                assert np.array_equal(ours.boxes_xyxy, plain.boxes_xyxy)
                assert np.array_equal(ours.confidence, plain.confidence)


def test_ap_is_of_every_box_whatever_the_confidence(made_up, tmp_path):
    store, truth = made_up.store(tmp_path)
    rows, _ = sweep(config_of(store, truth, confidence=[0.0, 0.9]))
    assert rows[0]["AP"] == rows[1]["AP"] == rows[0]["AP_cut"] > rows[1]["AP_cut"]


def test_suppression_at_many_overlaps_equals_the_single_one(made_up):
    draw = np.random.default_rng(0)
    for number in range(60):
        view = made_up.view(draw, draw.integers(10, 60, (number % 7, 4)), "v", copies=9, strays=number % 4)
        boxes, confidence = view.candidates.boxes_xyxy.copy(), view.candidates.confidence
        if len(boxes) > 3:
            boxes[2], boxes[3, 2:] = boxes[1], boxes[3, :2]  # an equal box and one without area
        limits = [0.0, 0.1, 0.5, 0.7, 1.0]
        for limit, kept in zip(limits, suppress_at(boxes, confidence, limits), strict=True):
            assert np.array_equal(kept, nms(boxes, confidence, limit))


def test_chance_and_ceiling_by_hand(made_up, tmp_path):
    store, truth = made_up.store(tmp_path)
    rows, sweeper = sweep(config_of(store, truth, confidence=[0.3], max_det=[4]))
    ceiling, chance = [], []
    for image in sweeper.replay.images("detectorkey"):
        candidates = candidates_of(image.views, CutConfig(0.3, 0.5, 4))
        ltwh = candidates.boxes_xyxy.astype(float)
        ltwh[:, 2:] -= ltwh[:, :2]
        for true in image.targets_ltwh:
            good = [iou_ltwh(tuple(true), tuple(box)) > 0.5 for box in ltwh]
            ceiling.append(any(good))
            chance.append(np.mean(good))
    assert rows[0]["ceiling"] == np.mean(ceiling)
    assert rows[0]["chance"] == pytest.approx(np.mean(chance))


def test_the_command_writes_its_tables_and_names_the_best(made_up, tmp_path, capsys):
    store, truth = made_up.store(tmp_path)
    main(
        [
            f"candidates={store.folder}",
            f"truth={truth}",
            "confidence=[0.1,0.25,0.5]",
            "nms_iou=[0.3,0.5]",
            "run_dir=run",
        ]
    )
    rows = json.loads((tmp_path / "run/sweep.json").read_text())
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["num_points"] == len(rows) == 6
    assert metrics["best_accuracy"] == max(row["accuracy"] for row in rows)
    assert (tmp_path / "run/sweep.csv").read_text().count("\n") == 7
    assert (tmp_path / "run/published.md").read_text().startswith("| conf | IoU thresh | pycocotools mAP@0.5 |")
    assert "best: confidence" in capsys.readouterr().out


def test_a_point_the_store_does_not_cover_names_the_command_that_adds_it(made_up, tmp_path, capsys):
    store, truth = made_up.store(tmp_path, covers=False)
    with pytest.raises(SystemExit) as stop:
        main([f"candidates={store.folder}", f"truth={truth}", "confidence=[0.1,0.2]", "run_dir=run"])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert "holds no score of some crop of im_0.jpg at confidence=0.1, nms_iou=0.5, max_det=20" in error
    assert "python -m pipeline.export" in error
    assert "'sweep.confidence=[0.1,0.2]'" in error
    with pytest.raises(SystemExit):
        main([f"candidates={store.folder}", f"truth={truth}", "fusion=[wbf,nms]", "wbf_iou=[0.4]", "run_dir=run"])
    assert "'sweep.fusion=[wbf,nms]' 'sweep.wbf_iou=[0.4]'" in capsys.readouterr().err
    main([f"candidates={store.folder}", f"truth={truth}", "scorers=[none]", "run_dir=other"])  # boxes need no crop


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["detectors=[zzz]"], "detectors: 'zzz' begins 0 keys of the store, which holds detectorkey"),
        (["scorers=[zzz]"], "scorers: 'zzz' begins 0 keys"),
        (["confidence=[]"], "confidence: is an empty list"),
        (["confidence=[1.5]"], "confidence: 1.5 is not within 0..1"),
        (["weights=[[1,2],[1,high]]"], "weights[1]: high is not a weight, a number from 0 on"),
        (["max_det=[0]"], "max_det: 0 must be 1 or more"),
        (["views=[slice*]"], "views: 'slice*' fits none of yolo/v0"),
        (["candidates=nowhere"], "nowhere: no such folder"),
        (["fusion=[vote]"], "vote"),
    ],
)
def test_wrong_settings_are_one_clear_line(made_up, tmp_path, capsys, words, message):
    store, truth = made_up.store(tmp_path, num_images=2)
    with pytest.raises(SystemExit) as stop:
        main([f"candidates={store.folder}", f"truth={truth}", "run_dir=run", *words])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_images_the_store_does_not_know_are_named(made_up, tmp_path, capsys):
    store, truth = made_up.store(tmp_path, num_images=2)
    truth.write_text(truth.read_text().replace("im_1.jpg", "other.jpg"))
    with pytest.raises(SystemExit):
        main([f"candidates={store.folder}", f"truth={truth}", "run_dir=run"])
    assert "other.jpg" in capsys.readouterr().err


def test_two_detectors_together_are_one_ensemble(made_up, tmp_path):
    store, truth = made_up.store(tmp_path, num_images=4)
    draw = np.random.default_rng(9)
    for entry in read_annotations(truth):
        digest = store.find_digests([entry.image])[entry.image]
        boxes = np.asarray([a.boxes_ltwh[0] for a in entry.annotations])
        store.write_views("second", digest, [made_up.view(draw, boxes, "yolo2/plain")])
    store.describe("proposals", "second", {})
    rows, sweeper = sweep(config_of(store, truth, detectors=["det+sec", "det"], scorers=["none"]))
    assert [r["detector"] for r in rows] == ["detectorkey+second", "detectorkey"]
    assert rows[0]["num_predictions"] > rows[1]["num_predictions"] * 0.8
    assert [v.name for v in sweeper.replay.images("detectorkey+second")[0].views] == ["yolo/v0", "yolo2/plain"]
    for image in sweeper.replay.images("detectorkey+second"):
        digest = store.find_digests([image.name])[image.name]
        views = [view for key in ("detectorkey", "second") for view in store.read_views(key, digest)]
        assert np.array_equal(image.candidates(CutConfig()).boxes_xyxy, candidates_of(views, CutConfig()).boxes_xyxy)


def test_votes_that_no_crop_covers_end_with_the_export_that_adds_them(made_up, tmp_path):
    store, truth = made_up.store(tmp_path)
    with pytest.raises(InputError, match=r"this adds it: .*'sweep\.vote_iou=\[null,0\.6\]'"):
        sweep(config_of(store, truth, vote_iou=[None, 0.6]))


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"refusal": [0.3]}, "refusal: only an assignment can be refused"),
        ({"refusal": ["abc"], "method": [ChoosingMethod.assignment]}, "refusal: abc is not a difference"),
        ({"vote_iou": ["abc"]}, r"vote_iou: abc is not within 0\.\.1"),
        ({"posterior": PosteriorWeights(own=-1.0)}, r"posterior\.own: -1\.0 is not a weight"),
    ],
)
def test_nonsense_about_choosing_is_refused(lists, message, made_up, tmp_path):
    store, truth = made_up.store(tmp_path)
    with pytest.raises(InputError, match=message):
        sweep(config_of(store, truth, **lists))


def test_what_a_way_of_choosing_has_no_use_for_is_no_axis(made_up, tmp_path):
    store, truth = made_up.store(tmp_path)
    axes = {"method": list(ChoosingMethod), "combine": [Combining.sum, Combining.posterior],
            "confidence_weight": [0.0, 0.5], "refusal": [None, 0.3]}  # fmt: skip
    rows, _ = sweep(config_of(store, truth, **axes))
    told = [(r["method"], r["combine"], r["confidence_weight"], r["refusal"]) for r in rows]
    assert len(told) == len(set(told)) == (1 + 2) * (2 + 1)  # one way of best, two of assignment
