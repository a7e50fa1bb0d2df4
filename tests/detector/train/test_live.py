"""The page of a detector's training, by Ultralytics' loop and by ours, through a stop and a resumption."""

from collections.abc import Callable
from pathlib import Path

import pytest
from live import read_page

from detector.settings import StageConfig
from detector.train.states import StateFolder
from eval.live.page import ANSWERS, AUGMENTED

OURS = {"workers": 0, "optimizer": "AdamW", "lr0": 0.003, "plots": True}


@pytest.mark.parametrize("model", [None, "yolov6_tiny.yaml"])
def test_the_page_follows_a_training_through_a_stop(
    model: str | None, make_tree: Callable, train: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop comes in the second of three epochs, before its state."""
    tree, run, saves = make_tree(train=8), tmp_path / "run", []
    given = {"stages": [StageConfig(imgsz=64, epochs=3)], "args": OURS if model else {}}
    given |= {"model": model} if model else {}
    real = StateFolder.save

    def save(*arguments: object) -> None:
        saves.append(arguments)
        if len(saves) == 2:
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(StateFolder, "save", save)
        with pytest.raises(KeyboardInterrupt):
            train(tree, "run", **given)
    state, reloads, headings, texts, images = read_page(run)
    assert (state, reloads, set(headings)) == ("stopped", True, {"Last epoch", AUGMENTED, ANSWERS})
    sheets = 2 if model else 3  # our loop shows the first epoch's batches, Ultralytics' the first three
    assert images == sheets + 4
    assert sum("of 2 targets found" in text for text in texts) == 4
    assert "<polyline" not in (run / "live.html").read_text()
    train(tree, "run", **given)
    state, reloads, headings, texts, images = read_page(run)
    assert (state, reloads, set(headings), images) == ("done", False, {"Last epoch", AUGMENTED, ANSWERS}, sheets + 4)
    assert sum("of 2 targets found" in text for text in texts) == 4
    page = (run / "live.html").read_text()
    assert page.count("<polyline") >= 3  # the losses; of AP there is a curve once it is not 0
    assert "<figcaption>Detector: losses (run)</figcaption>" in page
    assert max(len(line.partition('"')[0].split()) for line in page.split('points="')[1:]) == 3  # one an epoch
