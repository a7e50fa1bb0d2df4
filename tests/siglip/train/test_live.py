"""The page of a scorer's training: after a stop it has the epoch that was made, after the resumption all of them."""

import json

import pytest
from live import read_page

from eval.live.page import ANSWERS, AUGMENTED
from siglip import train
from siglip.train.launching import Stopped, StopSignal


def test_the_page_follows_a_training_through_a_stop(make_crops, checkpoint, tmp_path, monkeypatch):
    crops, held_out, run = make_crops(images=12), make_crops("held_out", images=6, seed=1), tmp_path / "run"
    words = [f"crops={crops}", f"val_crops={held_out}", f"scorer={checkpoint}", "recipe=augv2", "batch.size=12",
             "epochs=3", "lr=1e-3", f"run_dir={run}", "tracking.mode=disabled"]  # fmt: skip
    checks = iter(range(1000))

    def check(self):  # as SIGTERM within the second epoch
        if (run / "history.jsonl").stat().st_size and next(checks) == 1:
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(StopSignal, "check", check)
        with pytest.raises(Stopped):
            train.main(words)
    state, reloads, headings, texts, images = read_page(run)
    assert (state, reloads, headings) == ("stopped", True, ["Last epoch", AUGMENTED, ANSWERS])
    assert images == 1 + 4 * 4  # a sheet, and an answer to each of four captions of four images
    assert {text.partition(" (")[0] for text in texts} == {f"{c} drone" for c in ("red", "green", "blue", "white")}
    assert "<polyline" not in (run / "live.html").read_text()
    train.main(words)
    state, reloads, headings, _, images = read_page(run)
    assert (state, reloads, headings, images) == ("done", False, ["Last epoch", AUGMENTED, ANSWERS], 17)
    page = (run / "live.html").read_text()
    last = json.loads((run / "history.jsonl").read_text().splitlines()[-1])
    assert f"<dd>{last['loss']:.4g}</dd>" in page
    assert page.count("<polyline") >= 2
    assert max(len(line.partition('"')[0].split()) for line in page.split('points="')[1:]) == 3  # one an epoch
    told = json.loads((run / "live_images.json").read_text())
    right = sum(one["is_right"] for one in told[ANSWERS])
    assert page.count('<span class="right">') == right
    (run / "live.html").unlink()
    train.main(words)  # nothing is left to train: the page is as it was
    assert read_page(run)[::2] == ("done", headings, 17)
