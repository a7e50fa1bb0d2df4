"""pipeline.pack: one folder that answers as the run it was made of, wherever it lies."""

import shutil

import pytest

from core.images import read_image
from pipeline.opening import open_pipeline, stored_config
from pipeline.pack import main


def test_a_packed_pipeline_answers_the_same_without_its_sources(exported, system, tmp_path, monkeypatch):
    image = read_image(system / "scenes/images/image_0.jpg")
    main([f"pipeline={exported}", f"run_dir={tmp_path}/packed"])
    moved = shutil.move(tmp_path / "packed/system", tmp_path / "elsewhere")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    config = stored_config(str(moved))
    stages = (config.detector, config.upscaler, config.scorer)
    assert all(stage.weights.startswith(str(moved)) for stage in stages)
    captions = ["red drone", "grey helicopter"]
    told = [open_pipeline(str(folder)).locate(image, captions) for folder in (moved, exported)]
    assert told[0].predictions("x", captions) == told[1].predictions("x", captions)


def test_members_are_packed_once_each(export, system, tmp_path):
    weights = f"{system}/detector.pt"
    run = export(
        "run", "detector.weights=null", f"detector.members=[{{weights:{weights}}},{{weights:{weights},imgsz:96}}]"
    )
    main([f"pipeline={run}", f"run_dir={tmp_path}/packed"])
    members = stored_config(str(tmp_path / "packed/system")).detector.members
    assert members[0].weights == members[1].weights
    assert len(list((tmp_path / "packed/system/weights").iterdir())) == 3


@pytest.mark.parametrize(
    ("settings", "told"),
    [("detector: {weights: gone.pt}", "gone.pt"), ("batch: 3", "field 'detector': missing"), ("[", "config.yaml: ")],
)
def test_mistakes_are_one_line(settings, told, tmp_path, capfd):
    (tmp_path / "config.yaml").write_text(settings)
    with pytest.raises(SystemExit) as stop:
        main([f"pipeline={tmp_path}", f"run_dir={tmp_path}/packed"])
    assert stop.value.code == 2
    assert told in capfd.readouterr().err
