"""Names and captions are the same in whatever form Unicode's letters are written: composed, or apart as macOS does."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from core.store import CandidateStore
from core.texts import alike
from data.yolo import main as yolo
from eval.coco import main as judge_boxes
from eval.grounding import main as judge

NAME, CAPTION, BOX = "Düsseldorf/é.png", "l'hélicoptère", [1, 2, 30, 40]


@pytest.mark.parametrize(("ours", "theirs"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_predictions_detections_and_stores_find_their_truth(ours, theirs):
    def write(path, form):
        name, caption = (unicodedata.normalize(form, text) for text in (NAME, CAPTION))
        Path(path).write_text(json.dumps({"image": name, "annotations": [{"caption": caption, "bbox": BOX}]}) + "\n")
        return name

    truth, other = write("t.jsonl", ours), write("p.jsonl", theirs)
    judge(["truth=t.jsonl", "predictions=p.jsonl", "run_dir=grounding"])
    assert json.loads(Path("grounding/metrics.json").read_text())["accuracy"] == 1
    Path("d.json").write_text(json.dumps([{"file_name": other, "bbox": BOX, "score": 0.9}]))
    judge_boxes(["truth=t.jsonl", "detections=d.json", "run_dir=coco"])
    assert json.loads(Path("coco/metrics.json").read_text())["AP"] == pytest.approx(1)
    store = CandidateStore(Path("store"))
    store.write_set({other: "d1", "b.png": "d2"}, {other: (64, 64), "b.png": (8, 8)})
    assert store.find_digests([truth]) == {truth: "d1"}
    with pytest.raises(InputError, match="holds no candidates for 1"):
        store.find_digests(["e.png"])


def test_a_tree_whose_files_were_renamed_by_a_disk_keeps_its_captions():
    from PIL import Image

    from data.sources import read_any

    name = unicodedata.normalize("NFC", NAME)
    Path("a.jsonl").write_text(json.dumps({"image": name, "annotations": [{"caption": CAPTION, "bbox": BOX}]}) + "\n")
    Path("images/Düsseldorf").mkdir(parents=True)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(f"images/{name}")
    yolo(["annotations=a.jsonl", "images=images", "place=copy", "run_dir=tree"])
    for kind in ("images", "labels"):
        folder = Path(f"tree/{kind}/train")
        folder.joinpath(unicodedata.normalize("NFC", "Düsseldorf")).rename(
            folder / unicodedata.normalize("NFD", "Düsseldorf")
        )
    (image,) = read_any("tree")
    assert (image.image, image.annotations[0].caption) == (name, CAPTION)


def test_two_names_that_differ_in_form_alone_stay_two():
    both = [unicodedata.normalize(form, NAME) for form in ("NFC", "NFD")]
    assert alike(both, both) == {name: name for name in both}
    assert alike(["a", "b"], ["b"]) == {"a": "a", "b": "b"}
