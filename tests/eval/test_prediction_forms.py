"""Prediction files as other programs write them: the same number to the last digit, or one line that says why not.

Every form is a rewriting of one published-looking file (xyxy boxes, a JSON list) whose right answer is known.
"""

import json
import random

import numpy as np
import pytest

from eval.grounding import main

NUM_IMAGES = 40
HITS = 97  # of 40 images of three captions; the rest are off by more than half
CAPTIONS = ("red jet", "grey drone", "white and blue helicopter")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    path = tmp_path_factory.mktemp("truth") / "vlm.jsonl"
    lines = [{"image": f"image_{n}.jpg", "annotations": [{"caption": c, "bbox": [100 * k, 4 * n, 40, 28]}
                                                         for k, c in enumerate(CAPTIONS)]}
             for n in range(NUM_IMAGES)]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def entries():
    """Entries of the published shape, with single-precision corners, the first `HITS` answers right."""
    made, left = [], HITS
    for n in range(NUM_IMAGES):
        found = []
        for k, caption in enumerate(CAPTIONS):
            off = 0.7 if left > 0 else 31.3
            box = np.float32([100 * k + off, 4 * n - off, 100 * k + 40 + off, 4 * n + 28 - off])
            found.append({"bbox": box.astype(float).tolist(), "caption": caption})
            left -= 1
        made.append({"image": f"image_{n}.jpg", "annotations": found})
    return made


def score(tmp_path, truth, text, *words):
    """Metrics of a prediction file of these bytes."""
    path = tmp_path / "predictions.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    main([f"truth={truth}", f"predictions={path}", "box_format=xyxy", f"run_dir={tmp_path}/run", *words])
    return json.loads((tmp_path / "run" / "metrics.json").read_text())


def shuffled(values):
    random.Random(0).shuffle(values)
    return values


def split_up(values):
    """One entry a caption, an image's entries apart."""
    return shuffled([{"image": e["image"], "annotations": [a]} for e in values for a in e["annotations"]])


SAME = {
    "as published": lambda e: json.dumps(e, separators=(",", ":")),
    "indented": lambda e: json.dumps(e, indent=4),
    "one object a line": lambda e: "\n".join(map(json.dumps, e)),
    "lines of Windows": lambda e: "\r\n".join(map(json.dumps, e)) + "\r\n",
    "a byte order mark": lambda e: "\ufeff" + json.dumps(e),
    "a byte order mark before lines": lambda e: "\ufeff" + "\n".join(map(json.dumps, e)),
    "white space around": lambda e: "\n\n  " + json.dumps(e) + " \n\n",
    "images in another order": lambda e: json.dumps(shuffled(e)),
    "captions in another order": lambda e: json.dumps([x | {"annotations": x["annotations"][::-1]} for x in e]),
    "keys in another order": lambda e: json.dumps(e, sort_keys=True),
    "an image in several entries": lambda e: json.dumps(split_up(e)),
    "other fields beside": lambda e: json.dumps(
        [x | {"id": 3, "annotations": [a | {"score": 0.5, "label": 0, "xywh": None} for a in x["annotations"]]}
         for x in e]),
    "an entry without answers beside": lambda e: json.dumps([*e, {"image": "image_3.jpg", "annotations": []}]),
}  # fmt: skip


@pytest.mark.parametrize("form", SAME)
def test_forms_that_say_the_same_give_the_same_number(tmp_path, truth, form):
    metrics = score(tmp_path, truth, SAME[form](entries()))
    assert (metrics["num_hits"], metrics["num_captions"], metrics["num_missing"]) == (HITS, 3 * NUM_IMAGES, 0)
    assert metrics["accuracy"] == HITS / (3 * NUM_IMAGES)


def test_whole_numbers_and_real_ones_are_judged_alike(tmp_path, truth):
    whole = [e | {"annotations": [a | {"bbox": [int(v) for v in a["bbox"]]} for a in e["annotations"]]}
             for e in entries()]  # fmt: skip
    real = [e | {"annotations": [a | {"bbox": [float(v) for v in a["bbox"]]} for a in e["annotations"]]}
            for e in whole]  # fmt: skip
    told = [score(tmp_path / name, truth, json.dumps(e)) for name, e in (("a", whole), ("b", real))
            if (tmp_path / name).mkdir() is None]  # fmt: skip
    assert told[0]["num_hits"] == told[1]["num_hits"] == HITS


def half(values):
    return values[: NUM_IMAGES // 2]


@pytest.mark.parametrize(
    ("change", "hits", "missing"),
    [
        (lambda e: [], 0, 120),
        (half, 60, 60),  # an image without an entry
        (lambda e: [x | {"annotations": x["annotations"] if n % 2 else []} for n, x in enumerate(e)], 48, 60),
        (lambda e: [x | {"annotations": x["annotations"][:2]} for x in e], 65, 40),  # a caption without an answer
        (lambda e: [x | {"annotations": [a | {"bbox": None} for a in x["annotations"]]} for x in e], 0, 120),
        (lambda e: [x | {"annotations": [a | {"bbox": [0, 0, 0, 0]} for a in x["annotations"]]} for x in e], 0, 0),
        (lambda e: [x | {"annotations": [a | {"bbox": a["bbox"][::-1]} for a in x["annotations"]]} for x in e], 0, 0),
    ],
    ids=["none", "half the images", "empty lists", "a caption less", "null boxes", "zero boxes", "corners exchanged"],
)
def test_what_is_missing_is_missed_over_the_whole_truth(tmp_path, truth, capsys, change, hits, missing):
    metrics = score(tmp_path, truth, json.dumps(change(entries())))
    assert (metrics["num_hits"], metrics["num_captions"], metrics["num_missing"]) == (hits, 120, missing)
    assert ("counted as misses" in capsys.readouterr().out) == (missing > 0)


@pytest.mark.parametrize("copies", ["doubled", "restarted"])
def test_repeated_runs_by_key_and_by_place(tmp_path, truth, capsys, copies):
    """A file that a restarted notebook appended to, read every way; by place repeats the published scorer by hand."""
    new = entries()
    old = [e | {"annotations": [a | {"bbox": [900, 0, 940, 28]} for a in e["annotations"]]} for e in new]
    both = {"doubled": old[20:] + new[20:], "restarted": old[20:25] + new[20:]}[copies]
    lines = truth.read_text().splitlines()
    part = tmp_path / "val.jsonl"
    part.write_text("\n".join(lines[20:]) + "\n")
    told = {d: score(tmp_path, part, json.dumps(both), f"duplicates={d}") for d in ("first", "last")}
    assert told["last"]["num_hits"] == 37
    assert told["first"]["num_hits"] == {"doubled": 0, "restarted": 22}[copies]
    with pytest.raises(SystemExit):
        score(tmp_path, part, json.dumps(both))
    repeats = 3 * (len(both) - 20)
    assert f"{repeats} predictions repeat an image and caption ({repeats // 3} images)" in capsys.readouterr().err
    judged = zip([json.loads(line) for line in lines[-len(both) :]], both, strict=True)
    hits = sum(bool(round(overlap(a["bbox"], b["bbox"]))) for line, entry in judged
               for a, b in zip(line["annotations"], entry["annotations"], strict=True))  # fmt: skip
    by_place = score(tmp_path, truth, json.dumps(both), "scoring=positional")
    assert (by_place["num_hits"], by_place["num_captions"]) == (hits, 3 * len(both))
    assert by_place["accuracy"] == hits / (3 * len(both))


def overlap(ltwh, xyxy):
    """IoU as the published scorer has it."""
    box = [xyxy[0], xyxy[1], xyxy[2] - xyxy[0], xyxy[3] - xyxy[1]]
    sides = [min(ltwh[k] + ltwh[k + 2], box[k] + box[k + 2]) - max(ltwh[k], box[k]) for k in (0, 1)]
    inner = max(0, sides[0]) * max(0, sides[1])
    return inner / (ltwh[2] * ltwh[3] + box[2] * box[3] - inner)


def renamed(name):
    return lambda e: json.dumps([x | {"image": name.format(x["image"], x["image"].partition(".")[0])} for x in e])


def boxes(change):
    return lambda e: json.dumps([x | {"annotations": [a | {"bbox": change(a["bbox"])} for a in x["annotations"]]}
                                 for x in e])  # fmt: skip


def captions(change):
    return lambda e: json.dumps([x | {"annotations": [a | {"caption": change(a["caption"])} for a in x["annotations"]]}
                                 for x in e])  # fmt: skip


LINE = "predictions.json entry 1: "
REFUSED = {
    "a folder before the name": (renamed("images/{0}"), "40 predicted images are not in the truth: images/image_0.jpg"),
    "and what it should be": (renamed("images/{0}"), "(the truth names images/image_0.jpg image_0.jpg)"),
    "an absolute path": (renamed("/data/val/{0}"), "(the truth names /data/val/image_0.jpg image_0.jpg)"),
    "a path of Windows": (renamed("C:\\val\\{0}"), "(the truth names C:\\val\\image_0.jpg image_0.jpg)"),
    "a name without its ending": (renamed("{1}"), "(the truth names image_0 image_0.jpg)"),
    "images of another set": (renamed("other_{0}"), "not in the truth: other_image_0.jpg, other_image_1.jpg"),
    "numbers for names": (lambda e: json.dumps([x | {"image": n} for n, x in enumerate(e)]),
                          LINE + "field 'image': a prediction entry needs an image name (the entry has 'image'"),
    "captions in a template": (captions("This is a photo of {}.".format), "'This is a photo of red jet.' of image_0"),
    "captions in capitals": (captions(str.upper), "120 predicted captions are not in the truth of their image: 'RED"),
    "captions with a space": (captions(lambda c: f" {c}"), "' red jet' of image_0.jpg"),
    "coordinates as texts": (boxes(lambda b: list(map(str, b))), LINE + "field 'annotations[0].bbox': not four finite"),
    "a box as a text": (boxes(str), LINE + "field 'annotations[0].bbox': not four finite"),
    "a box in a list": (boxes(lambda b: [b]), LINE + "field 'annotations[0].bbox': not four finite"),
    "a box as an object": (boxes(lambda b: dict(zip("ltrb", b, strict=True))), "bbox': not four finite numbers but {"),
    "five numbers": (boxes(lambda b: [*b, 0.9]), LINE + "field 'annotations[0].bbox': not four finite"),
    "nulls for numbers": (boxes(lambda b: [None] * 4), LINE + "field 'annotations[0].bbox': not four finite"),
    "not a number": (boxes(lambda b: [float("nan"), *b[1:]]), "not four finite numbers but [NaN,"),
    "a number beyond all": (boxes(lambda b: [10**400, *b[1:]]), LINE + "field 'annotations[0].bbox': not four finite"),
    "sides beyond all": (boxes(lambda b: [-1e308, 0, 1e308, 9]), "bbox': its sides are beyond all numbers: [-1e+308"),
    "another name for the box": (lambda e: json.dumps(e).replace("bbox", "box"), "[0].bbox': missing; null says that"),
    "another name for the caption": (lambda e: json.dumps(e).replace("caption", "label"),
                                     LINE + "field 'annotations[0].caption': not a text (the entry has 'bbox', 'lab"),
    "another name for the list": (lambda e: json.dumps(e).replace("annotations", "predictions"),
                                  LINE + "field 'annotations': not a list (the entry has 'image', 'predictions')"),
    "null for the list": (lambda e: json.dumps([x | {"annotations": None} for x in e]), "'annotations': not a list"),
    "an object by image": (lambda e: json.dumps({x["image"]: x["annotations"] for x in e}),
                           "line 1: field 'image': a prediction entry needs an image name (the entry has 'image_0"),
    "an object around the list": (lambda e: json.dumps({"predictions": e}), "needs an image name (the entry has 'pred"),
    "an indented object around it": (lambda e: json.dumps({"predictions": e}, indent=2), "line 1: not valid JSON"),
    "a list in a list": (lambda e: json.dumps([e]), LINE + "field 'image': a prediction entry needs an image name"),
    "a list of COCO's boxes": (lambda e: json.dumps([{"image_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}]),
                               "needs an image name (the entry has 'image_id', 'bbox', 'score')"),
    "texts in the list": (lambda e: json.dumps([json.dumps(x) for x in e]), "needs an image name, not"),
    "a key twice": (lambda e: json.dumps(e).replace('"image": "image_7.jpg"', '"image": "image_7.jpg", "image": "x"'),
                    "predictions.json: not valid JSON: an object has the key 'image' twice"),
    "a list cut off": (lambda e: json.dumps(e)[:-40], "predictions.json line 1: not valid JSON"),
    "two lists": (lambda e: json.dumps(e[:5]) + json.dumps(e[5:]), "predictions.json line 1: not valid JSON: Extra"),
    "half of UTF-16": (lambda e: json.dumps(e).encode("utf-16"), "predictions.json: is not UTF-8 text (byte 0)"),
    "compressed": (lambda e: b"\x1f\x8b" + json.dumps(e).encode(), "predictions.json: is not UTF-8 text"),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_forms_that_cannot_be_judged_are_one_clear_line(tmp_path, truth, capsys, form):
    change, message = REFUSED[form]
    with pytest.raises(SystemExit) as stop:
        score(tmp_path, truth, change(entries()))
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_boxes_of_the_other_format_are_noticed(tmp_path, truth, capsys):
    """Corners read as sides give enormous boxes: next to no hit, over the whole denominator, and a hint."""
    metrics = score(tmp_path, truth, json.dumps(entries()), "box_format=ltwh")
    assert metrics["num_captions"] == 120
    assert metrics["num_hits"] < 12
    assert f"with box_format=xyxy {HITS} would be" in capsys.readouterr().out
