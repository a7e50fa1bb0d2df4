"""Label suspects on a small made-up set whose models are right everywhere: what they doubt is what was spoiled."""

import json

import numpy as np
import pytest

from benchmarks.suspects import is_found, judge, shifted, spoil
from core.errors import InputError
from core.images import write_image
from core.pixels import pixel_boxes
from core.stages import View
from core.store import CandidateStore
from core.values import Candidates
from data.captions import read_annotations
from data.write import main as write
from eval.answered import answered_run
from eval.answers.outcomes import iou_ltwh
from eval.labels.ranking import suspects
from eval.labels.words import label_words
from eval.runs import find_runs
from eval.suspects import main

SIZE = (320, 200)
WORDS = ("<b>red</b> jet", "blue jet", "grey drone")
PLACES = [[20.0, 20.0, 40.0, 40.0], [120.0, 20.0, 40.0, 40.0], [220.0, 20.0, 40.0, 40.0]]
LOOSE = [20.0 + 40 * 3 / 7, 20.0, 40.0, 40.0]  # moved by 3/7 of the width: IoU (4/7) / (10/7) = 0.4
FOUND = {
    ("other target", "swapped.png", WORDS[0]),
    ("other target", "swapped.png", WORDS[1]),
    ("loose box", "shifted.png", WORDS[0]),
    ("no label", "dropped.png", ""),
    ("not offered", "unseen.png", WORDS[2]),
    ("other target", "unseen.png", WORDS[2]),
}


def scenes():
    """Of each image what the models see, as (word, box), and what its labels say."""
    seen = {name: list(zip(WORDS, PLACES, strict=True)) for name in ("clean", "swapped", "shifted", "dropped")}
    labels = {name: list(pairs) for name, pairs in seen.items()}
    labels["swapped"] = list(zip((WORDS[1], WORDS[0], WORDS[2]), PLACES, strict=True))
    labels["shifted"][0] = (WORDS[0], LOOSE)
    labels["dropped"].pop()
    labels["unseen"], seen["unseen"] = list(seen["clean"]), seen["clean"][:2]
    return seen, labels


def export(root, name, believes=(), scorer="a"):
    """A run over the labels; believes: images whose first two words its scorer confuses as the labels do."""
    seen, labels = scenes()
    folder, store = root / name, CandidateStore(root / name / "candidates")
    vectors = dict(zip(WORDS, np.eye(len(WORDS), 8, dtype=np.float32), strict=True))
    lines, digests = [], {}
    for number, (image, pairs) in enumerate(seen.items()):
        digests[f"{image}.png"] = digest = f"{number:032x}"
        ltwh = np.asarray([box for _, box in pairs], np.float32)
        xyxy = np.concatenate([ltwh[:, :2], ltwh[:, :2] + ltwh[:, 2:]], axis=1)
        store.write_views("det", digest, [View("v", Candidates(xyxy, np.full(len(xyxy), 0.9, np.float32)))])
        words = [word for word, _ in pairs]
        if image in believes:
            words[:2] = words[1::-1]
        store.add_embeddings("emb", digest, pixel_boxes(xyxy, *SIZE), np.stack([vectors[word] for word in words]))
        answers = dict(zip(words, ltwh.tolist(), strict=True))
        lines.append({"image": f"{image}.png", "annotations": [
            {"caption": word, "bbox": answers.get(word, PLACES[0]), "score": 0.9, "confidence": 0.9}
            for word, _ in labels[image]]})  # fmt: skip
    store.describe("proposals", "det", {"detector": {"weights": "d"}})
    calibration = {"scale": 20.0, "bias": -8.0, "sigmoid": True}
    store.describe("embeddings", "emb", {"scorer": scorer, "scorer_key": "key", "calibration": calibration})
    store.add_texts("key", list(WORDS), np.stack(list(vectors.values())))
    store.write_set(digests, dict.fromkeys(digests, SIZE))
    (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = f"annotations: {root}/truth.jsonl\nimages: {root}/images\nconfidence: 0.1\nnms_iou: 0.5\nmax_det: 20\n"
    (folder / "config.yaml").write_text(config)
    about = {"id": name, "command": "pipeline.export", "state": "done", "started": "2026-01-01T00:00:00"}
    (folder / "run.json").write_text(json.dumps(about))
    (folder / "metrics.json").write_text(json.dumps({"detector_key": "det", "embeddings_key": "emb"}))
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two runs of different scorers, B believing the swapped labels, and A again as C."""
    root = tmp_path_factory.mktemp("suspects")
    lines = [{"image": f"{image}.png", "annotations": [{"caption": w, "bbox": b} for w, b in pairs]}
             for image, pairs in scenes()[1].items()]  # fmt: skip
    (root / "truth.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    draw = np.random.default_rng(0)
    for line in lines:
        write_image(root / "images" / line["image"], draw.integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8))
    export(root, "A")
    export(root, "B", believes=("swapped",), scorer="b")
    export(root, "C")
    export(root, "D", believes=("swapped",))
    return root


def find(root, folder, *names, most=200):
    main([f"runs=[{','.join(str(root / n) for n in names)}]", f"run_dir={folder}", f"most={most}"])
    return json.loads((folder / "suspects.json").read_text())


def told(rows):
    return {(row["kind"], row["image"], row["caption"]) for row in rows}


def test_what_was_spoiled_is_suspected_and_nothing_else(root, tmp_path):
    rows = find(root, tmp_path / "one", "A")
    assert told(rows) == FOUND
    assert len(rows) == len(FOUND)
    strengths = [row["strength"] for row in rows]
    assert strengths == sorted(strengths, reverse=True)
    assert all(0 <= s <= 1 for s in strengths)
    swapped = [row for row in rows if row["image"] == "swapped.png"]
    assert {row["seen"] for row in swapped} == set(WORDS[:2])
    assert min(row["strength"] for row in swapped) > 0.99  # each answers the other: surer than an unseen target
    unlabelled = next(row for row in rows if row["kind"] == "no label")
    assert unlabelled["box_ltwh"] == PLACES[2]
    assert find(root, tmp_path / "two", "A", "C") == rows  # a run that says the same changes nothing
    assert find(root, tmp_path / "few", "A", most=2) == rows[:2]


def test_every_run_must_hold_it_and_scorers_that_differ_contradict(root, tmp_path):
    rows = find(root, tmp_path / "two", "A", "B")
    swapped = {("contradicted", "swapped.png", WORDS[0]), ("contradicted", "swapped.png", WORDS[1])}
    rest = {found for found in FOUND if found[1] != "swapped.png"}
    assert told(rows) == rest | swapped
    assert {r["seen"] for r in rows if r["kind"] == "contradicted"} == set(WORDS[:2])
    assert told(find(root, tmp_path / "same", "A", "D")) == rest  # one scorer's weights: no other family
    assert told(find(root, tmp_path / "turned", "B", "A")) == told(rows)


def test_the_label_tools_and_the_page_get_them(root, tmp_path):
    find(root, tmp_path / "found", "A")
    lines = read_annotations(tmp_path / "found/suspects.jsonl")
    truth = {entry.image: entry for entry in read_annotations(root / "truth.jsonl")}
    assert {entry.image for entry in lines} == {image for _, image, _ in FOUND}
    for entry in lines:
        own = len(truth[entry.image].annotations)
        assert entry.annotations[:own] == truth[entry.image].annotations
        more = [(a.caption, a.boxes_ltwh) for a in entry.annotations[own:]]
        assert more == ([("no label", (tuple(PLACES[2]),))] if entry.image == "dropped.png" else [])
    write([f"annotations={tmp_path}/found/suspects.jsonl", "format=coco", f"images={root}/images",
           f"run_dir={tmp_path}/coco"])  # fmt: skip
    (coco,) = (tmp_path / "coco").glob("*coco*.json")
    assert len(json.loads(coco.read_text())["annotations"]) == sum(len(entry.annotations) for entry in lines)
    html = (tmp_path / "found/suspects.html").read_text()
    assert html.count("data:image/webp;base64,") == len(FOUND)
    assert "<b>red" not in html
    assert "&lt;b&gt;red&lt;/b&gt; jet" in html


def test_the_report_filters_by_them(root):
    run, _ = answered_run(find_runs(str(root / "A")), "A")
    words = label_words([run])
    of = {(o.image, o.caption): word for o, word in zip(run.outcomes, words, strict=True)}
    assert of["swapped.png", WORDS[0]] == of["swapped.png", WORDS[1]] == "other target"
    assert of["shifted.png", WORDS[0]] == "loose box"
    assert sum(word == "not suspected" for word in words) == len(words) - 4  # and the target that is not offered
    assert len(suspects([run])) == len(FOUND)


def test_bad_input_is_one_line(root, tmp_path, capsys):
    lone = tmp_path / "lone"
    lone.mkdir()
    for name in ("predictions.jsonl", "config.yaml", "run.json", "metrics.json"):
        (lone / name).write_bytes((root / "A" / name).read_bytes())
    for words, message in (
        ("runs=[]", "runs: give the run folder"),
        (f"runs=[{lone}]", "holds no proposals"),
        (f"runs=[{tmp_path}/none]", "no such folder"),
    ):
        with pytest.raises((SystemExit, InputError)) as ended:
            main([words, f"run_dir={tmp_path}/bad"])
        assert message in capsys.readouterr().err + str(ended.value)


def test_the_benchmark_spoils_what_it_says_and_counts_what_is_found():
    draw = np.random.default_rng(0)
    for box in ([10, 20, 30, 40], [0, 0, 300, 7], [5, 5, 3, 90]):
        assert iou_ltwh(tuple(box), tuple(shifted(box, draw))) == pytest.approx(0.4, abs=1e-6)
    pairs = list(zip(WORDS, PLACES, strict=True))
    lines = [{"image": f"{n}.png", "annotations": [{"caption": w, "bbox": list(b)} for w, b in pairs]}
             for n in range(40)]  # fmt: skip
    labels = spoil(lines, 0.05, 0)
    assert [sum(how == kind for how, *_ in labels) for kind in ("swapped", "shifted", "dropped")] == [6, 6, 6]
    assert len({(image, tuple(box)) for _, image, box in labels}) == 18
    assert sum(len(line["annotations"]) for line in lines) == 120 - 6
    entries = [(e["caption"], e["bbox"]) for line in lines for e in line["annotations"]]
    assert sum(entry not in pairs for entry in entries) == 12  # the swapped and the shifted
    kinds = {"swapped": "other target", "shifted": "loose box", "dropped": "no label"}
    rows = [{"image": image, "kind": kinds[how], "box_ltwh": box} for how, image, box in labels]
    assert judge(labels, rows)["all_recall"] == judge(labels, rows)["all_precision"] == 1
    assert judge(labels, rows[:9])["all_recall"] == 0.5
    assert not is_found(labels[0], rows[0] | {"kind": "not offered"})
