"""The chain of public commands: every step composes, finished steps are reused, a killed chain goes on."""

import importlib
import importlib.util
import json
import shutil
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

chain = importlib.import_module("chain")
chain_steps = importlib.import_module("chain_steps")


def test_every_step_composes(capsys):
    """Of every size, on the chain's own scenes and on given images; the sizes share many of their steps."""
    composed = set()
    for size, given in product(
        chain_steps.SIZES.values(), [(), ("mine.jsonl", "images"), ("a.jsonl", "a", "b.jsonl", "b")]
    ):
        for step in chain_steps.plan(size, Path("runs/chain"), chain_steps.Labels(*given)):
            if (step.command, *step.words) not in composed:
                composed.add((step.command, *step.words))
                importlib.import_module(step.command).main([*step.words, "--cfg", "job"])
                assert f"run_dir: {step.folder}" in capsys.readouterr().out


def data_steps(root):
    """The chain's first steps, as it plans them, over sixteen small scenes."""
    steps = chain_steps.plan(chain_steps.DEMO, root, chain_steps.Labels())[:2]
    small = ("num_images=16", "seed=0", "size=[320,184]", "workers=1")
    return [chain_steps.Step(steps[0].title, steps[0].command, steps[0].folder, small, in_process=True), steps[1]]


def test_finished_steps_are_reused_and_what_follows_a_new_one_is_not(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(chain.Chain, "_summary", lambda self, wall_s: None)
    root = tmp_path / "run"
    for expected in (0, 2):
        chain.Chain(root).run(data_steps(root))
        assert capsys.readouterr().out.count("already done, reused") == expected
    (root / "scenes" / "run.json").unlink()
    chain.Chain(root).run(data_steps(root))
    assert "already done" not in capsys.readouterr().out


def test_a_step_that_a_kill_left_half_way_runs_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(chain.Chain, "_summary", lambda self, wall_s: None)
    root = tmp_path / "run"
    chain.Chain(root).run(data_steps(root))
    record = root / "split" / "run.json"
    record.write_text(record.read_text().replace('"done"', '"running"'))
    capsys.readouterr()
    chain.Chain(root).run(data_steps(root))
    text = capsys.readouterr().out
    assert "[1/2] draw labelled scenes: already done, reused" in text
    assert "$ python -m data.split" in text


def steps_beside(root):
    """Scenes, their split beside a second copy of it, and a tree that waits for the first."""
    scenes, split = data_steps(root)
    copy = replace(split, folder=root / "copy")
    beside = replace(split, in_process=False, beside=True)
    settings = (f"annotations={split.folder}/train.jsonl", f"images={scenes.folder}/images")
    return [scenes, beside, copy, chain_steps.Step("tree", "data.yolo", root / "yolo", settings, True, joins=True)]


def test_a_step_beside_that_a_killed_chain_left_running_is_waited_for_last(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(chain.Chain, "_summary", lambda self, wall_s: None)
    root = tmp_path / "run"
    steps = steps_beside(root)
    chain.Chain(root).run(steps)
    capsys.readouterr()
    busy = iter([4711, 4711, 4711, None])  # asked for the split; then until it is gone
    monkeypatch.setattr(chain, "owner", lambda folder: next(busy, None) if folder == steps[1].folder else None)
    chain.Chain(root).run(steps)
    text = capsys.readouterr().out
    order = [
        "[2/4] hold scenes out: goes on",
        "[3/4] hold scenes out: already done",
        "process 4711 still runs",
        "data.yolo",
    ]
    assert sorted(order, key=text.index) == order


def test_a_step_beside_is_waited_for_and_what_needs_it_follows_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(chain.Chain, "_summary", lambda self, wall_s: None)
    root = tmp_path / "run"
    chain.Chain(root).run(steps_beside(root))
    text = capsys.readouterr().out
    order = ["runs beside the next steps", "waiting for data.split", "$ python -m data.yolo"]
    assert sorted(order, key=text.index) == order
    (root / "split" / "run.json").unlink()
    chain.Chain(root).run(steps_beside(root))
    text = capsys.readouterr().out
    assert "[3/4] hold scenes out: already done" in text
    assert "[4/4] tree: already done" not in text


def test_a_step_beside_that_fails_ends_the_chain(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(chain.Chain, "_summary", lambda self, wall_s: None)
    scenes, beside, copy, tree = steps_beside(tmp_path / "run")
    wrong = replace(beside, settings=("annotations=nowhere.jsonl",))
    with pytest.raises(SystemExit) as stop:
        chain.Chain(tmp_path / "run").run([scenes, wrong, copy, tree])
    assert stop.value.code == 2
    assert "data.split ended with status 2 (see" in capsys.readouterr().err
    assert "nowhere.jsonl" in (tmp_path / "run/split.log").read_text()


@pytest.mark.parametrize("words", [["size=huge"], ["sise=demo"], ["demo"]])
def test_wrong_words_are_one_line(words, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["chain.py", *words])
    with pytest.raises(SystemExit) as stop:
        chain.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_chains_record_holds_what_its_runs_found(tmp_path):
    """Over an export that was kept: the record's figures are those of the three commands that judge it."""
    kept = Path(__file__).resolve().parents[1] / "fixtures" / "commit_3348820"
    root, truth = tmp_path / "run", kept / "split" / "val.jsonl"
    for name in ("export", "export_noisy"):
        shutil.copytree(kept / "export", root / name)
    judged = {
        "grounding": ("eval.grounding", f"predictions={root}/export/predictions.jsonl"),
        "coco": ("eval.coco", f"detections={root}/export/detections.json"),
        "report": ("eval.report", f"run={root}"),
    }
    for name, (command, word) in judged.items():
        words = [f"truth={truth}", word, f"run_dir={root}/{name}", "tracking.mode=disabled"]
        importlib.import_module(command).main(words)
    record = json.loads(chain.write_record(root, "demo", 12.3, 4).read_text())
    figures, metrics = record["figures"], json.loads((root / "grounding" / "metrics.json").read_text())
    assert (record["wall_s"], record["steps_reused"]) == (12, 4)
    assert record["command"].endswith(f"size=demo run_dir={root}")
    assert figures["accuracy"] == metrics["accuracy"] == figures["right"] / figures["captions"]
    assert figures["ci95"][0] <= figures["accuracy"] <= figures["ci95"][1]
    assert figures["accuracy"] <= figures["ceiling"]
    assert figures["right_noisy"] == json.loads((root / "export_noisy" / "metrics.json").read_text())["num_hits"]
    assert figures["AP50"] == json.loads((root / "coco" / "metrics.json").read_text())["AP50"]
    assert figures["images"] == len(truth.read_text().splitlines())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["size=published"], "chain: yolov9e.pt: not here and could not be fetched; get https://"),
        (["size=small", "images=images"], "chain: images: images without annotations=FILE"),
        (["size=small", "annotations=none.jsonl"], "chain: none.jsonl: cannot be read"),
        (["size=small", "annotations=one.jsonl"], "chain: one.jsonl: 1 images; some must be held out"),
        (["size=small", "annotations=bare.jsonl"], "chain: bare.jsonl: holds no boxes"),
        (["size=small", "annotations=a.jsonl", "images=images"], "a.jsonl line 1: field 'image': images/a.png does not "
         "exist (there is no such folder) (and 1 more of 2 images)"),
        (["size=small", "annotations=a.jsonl", "images=here"], "a.jsonl line 2: field 'annotations[0].bbox': "
         "[90, 10, 5, 5] lies wholly outside the 40 x 30 image b.png"),
        (["size=small", "run_dir=a.jsonl/chain"], "chain: a.jsonl/chain/.writable: cannot be written"),
    ],
)  # fmt: skip
def test_what_later_steps_would_refuse_is_refused_before_the_first(words, message, tmp_path, monkeypatch, capsys):
    import numpy as np

    from core.images import write_image
    from detector import weights

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GROUNDER_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(weights, "_is_reachable", lambda host: False)
    monkeypatch.setattr(chain.Chain, "run", lambda self, steps: pytest.fail("began"))
    entry = '{"image": "%s", "annotations": [{"caption": "drone", "bbox": %s}]}\n'
    Path("a.jsonl").write_text(entry % ("a.png", "[1, 1, 5, 5]") + entry % ("b.png", "[90, 10, 5, 5]"))
    Path("one.jsonl").write_text(entry % ("a.png", "[1, 1, 5, 5]"))
    Path("bare.jsonl").write_text("".join(f'{{"image": "{n}.png", "annotations": []}}\n' for n in range(3)))
    for name in "ab":
        write_image(tmp_path / f"here/{name}.png", np.zeros((30, 40, 3), np.uint8))
    monkeypatch.setattr(sys, "argv", ["chain.py", *words])
    with pytest.raises(SystemExit) as ended:
        chain.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in said
    assert said.count("\n") == 1


def test_labels_of_another_tool_are_read_first(tmp_path, monkeypatch, capsys):
    import numpy as np

    from core.images import write_image

    monkeypatch.chdir(tmp_path)
    began = []
    monkeypatch.setattr(chain.Chain, "run", lambda self, steps: began.append(steps))
    for name in "ab":
        write_image(tmp_path / f"here/{name}.png", np.zeros((30, 40, 3), np.uint8))
    boxes = [{"id": n + 1, "image_id": n, "category_id": 1, "bbox": [1, 2, 8, 9]} for n in range(2)]
    images = [{"id": n, "file_name": f"{name}.png", "width": 40, "height": 30} for n, name in enumerate("ab")]
    value = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "drone"}]}
    Path("coco.json").write_text(json.dumps(value))
    monkeypatch.setattr(sys, "argv", ["chain.py", "size=small", "annotations=coco.json", "images=here", "run_dir=run"])
    chain.main()
    assert "annotations=run/labels/annotations.jsonl" in began[0][0].settings
    assert "captions: 2 from category" in capsys.readouterr().out
    value["annotations"][1]["bbox"] = [1, 2, 0, 9]
    Path("coco.json").write_text(json.dumps(value))
    with pytest.raises(SystemExit) as ended:
        chain.main()
    assert ended.value.code == 2
    assert "coco.json: field 'annotations[1].bbox': [1, 2, 0, 9] has no area" in capsys.readouterr().err
    assert len(began) == 1


def test_an_export_that_is_split_already_is_not_split_again(tmp_path, monkeypatch, capsys):
    """A Roboflow folder of COCO files: its parts are trained on and judged, each with its own images."""
    import numpy as np

    from core.images import write_image

    began = []
    monkeypatch.setattr(chain.Chain, "run", lambda self, steps: began.append(steps))
    box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 2, 8, 9]}
    for part, name in (("train", "a"), ("valid", "b"), ("test", "c")):
        write_image(tmp_path / f"export/{part}/{name}.png", np.zeros((30, 40, 3), np.uint8))
        value = {"images": [{"id": 0, "file_name": f"{name}.png", "width": 40, "height": 30}], "annotations": [box],
                 "categories": [{"id": 1, "name": "drone"}]}  # fmt: skip
        Path(f"export/{part}/_annotations.coco.json").write_text(json.dumps(value))
    monkeypatch.setattr(sys, "argv", ["chain.py", "size=small", "annotations=export", "run_dir=run"])
    chain.main()
    assert "export: left out here: test" in capsys.readouterr().out
    steps = {step.folder.name: step for step in began[0]}
    assert "split" not in steps
    assert set(steps["yolo"].settings) == {
        "annotations=run/labels/train.jsonl", "val=run/labels/val.jsonl", "images=export/train",
        "val_images=export/valid",
    }  # fmt: skip
    assert {"annotations=run/labels/val.jsonl", "images=export/valid"} <= set(steps["export"].settings)
    assert "truth=run/labels/val.jsonl" in steps["report"].settings
    importlib.import_module("data.yolo").main(steps["yolo"].words)
    assert Path("run/yolo/labels/val/b.txt").is_file()
    shutil.rmtree("export/valid")
    with pytest.raises(SystemExit):
        chain.main()
    said = capsys.readouterr().err
    assert "has the parts test, train and not both train and val" in said
