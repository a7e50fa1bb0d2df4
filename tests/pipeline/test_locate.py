"""`grounder locate IMAGE CAPTION pipeline=RUN`."""

import json
import re

import numpy as np
import pytest

from core.images import read_image
from pipeline.drawing import CHOSEN_RGB, OTHER_RGB, draw_answer
from pipeline.locate import main, positional


def test_it_prints_the_box_and_draws_it(exported, system, tmp_path, capfd):
    capfd.readouterr()
    image = system / "scenes/images/image_0.jpg"
    main([str(image), "red and white fighter jet", f"pipeline={exported}", f"run_dir={tmp_path}/found"])
    out = capfd.readouterr().out
    told = json.loads((tmp_path / "found/located.json").read_text())
    assert out.startswith("red and white fighter jet: [")
    assert "not sure: the answer's probability is below 0.5 (unsure_below)" in out  # an untrained scorer
    first = re.search(r"^  1. score \S+, probability [\d.e-]+, at \[(.*)\]$", out, re.MULTILINE)
    assert out.startswith(f"red and white fighter jet: [{first[1]}] (left, top, width, height)\n")  # one form of box
    assert told["candidates"][0]["score"] >= told["candidates"][-1]["score"]
    assert read_image(tmp_path / "found/located.png").shape[1] == 160
    assert has_colour(tmp_path / "found/located.png", CHOSEN_RGB)


def test_checkpoints_answer_without_a_run_as_the_run_does(exported, system, tmp_path):
    image = system / "scenes/images/image_0.jpg"
    main([str(image), "red = jet", f"pipeline={exported}", f"run_dir={tmp_path}/by_run"])
    stages = [f"detector={system}/detector.pt", f"upscaler={system}/upscaler/standin.safetensors"]
    words = [*stages, f"scorer={system}/scorer", "confidence=0.3", f"run_dir={tmp_path}/by_hand"]
    main([str(image), "red = jet", *words])
    by_run, by_hand = (json.loads((tmp_path / n / "located.json").read_text()) for n in ("by_run", "by_hand"))
    assert by_hand == by_run
    assert len(by_hand["candidates"]) > 1


def test_what_is_not_in_the_image_is_not_drawn_as_an_answer(export, system, tmp_path, capfd):
    strict = export("strict", "choosing.absent_below=2")
    image = system / "scenes/images/image_0.jpg"
    main([str(image), "grey drone", f"pipeline={strict}", f"run_dir={tmp_path}/absent"])
    assert "grey drone: not found" in capfd.readouterr().out
    assert not has_colour(tmp_path / "absent/located.png", CHOSEN_RGB)
    assert has_colour(tmp_path / "absent/located.png", OTHER_RGB)


def has_colour(path, rgb):
    return bool((read_image(path) == rgb).all(axis=2).any())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a.png", "red jet", "pipeline=x"], ["image='a.png'", "caption='red jet'", "pipeline=x"]),
        (["image=a.png", "caption=jet"], ["image=a.png", "caption=jet"]),
        (["it's.png", "a, b: c", "--cfg", "job"], ["image='it\\'s.png'", "caption='a, b: c'", "--cfg", "job"]),
        (["--help"], ["--help"]),
        (["a.png", "x=3 sign", "scorer=y"], ["image='a.png'", "caption='x=3 sign'", "scorer=y"]),
        (["a.png", "red=jet"], ["image='a.png'", "caption='red=jet'"]),
        (
            ["a.png", "red", "jet's", "nose", "pipeline=x"],
            ["image='a.png'", "caption='red jet\\'s nose'", "pipeline=x"],
        ),
        (["a.png", "pipelin=x"], ["image='a.png'", "pipelin=x"]),
    ],
)
def test_positional_words(words, expected):
    assert positional(words) == expected


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.png", "red jet", "pipeline={run}"], "nowhere.png: cannot be read"),
        (["{image}", "red jet", "pipeline=nowhere"], "pipeline= wants the run folder of pipeline.export"),
        (
            ["{image}", "red jet"],
            "pipeline: must be given, a run of pipeline.export, or",
        ),
    ],
)
def test_mistakes_are_one_line(words, told, exported, system, capfd):
    with pytest.raises(SystemExit) as stop:
        main([w.format(run=exported, image=system / "scenes/images/image_0.jpg") for w in words])
    assert stop.value.code == 2
    assert told in capfd.readouterr().err


def test_a_caption_wider_than_the_image_takes_more_lines():
    image = np.zeros((50, 200, 3), np.uint8)
    one, three = (draw_answer(image, [], [], caption, 0) for caption in ("red jet", "red and white fighter jet " * 2))
    assert one.shape == (84, 200, 3)
    assert three.shape == (134, 200, 3)
    assert (three[84:, :, 0] > 200).any(axis=1).sum() > 20  # written in the further lines too
    assert not (three[50:, -3:] > 30).any()  # and nowhere over the edge


def test_a_run_remembers_how_its_images_were_decoded(exported, tmp_path, monkeypatch):
    """A system of thermal images that were stretched is served, packed and located with so."""
    import os
    import shutil

    from pipeline.opening import open_pipeline, stored_config

    monkeypatch.setenv("GROUNDER_DEPTH", "high_byte")  # so that what is set here is put back
    monkeypatch.delenv("GROUNDER_DEPTH")
    run = tmp_path / "run"
    shutil.copytree(exported, run, ignore=shutil.ignore_patterns("candidates"))
    settings = (run / "config.yaml").read_text()
    assert "  depth: null\n" in settings
    (run / "config.yaml").write_text(settings.replace("  depth: null\n", "  depth: stretch\n"))
    assert stored_config(str(run)).decoding.depth.value == "stretch"
    monkeypatch.setattr("pipeline.opening.build_pipeline", lambda config: config)
    open_pipeline(str(run))
    assert os.environ["GROUNDER_DEPTH"] == "stretch"
    monkeypatch.setenv("GROUNDER_DEPTH", "high_byte")  # a command's own setting goes before
    open_pipeline(str(run))
    assert os.environ["GROUNDER_DEPTH"] == "high_byte"
