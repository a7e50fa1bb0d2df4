"""detector.train in this process: stages, files, the live recipe, changed settings, arguments."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.errors import InputError, RefusedChangeError
from data.recipe import RecipeConfig
from detector.settings import BestMetric, Rectangle, StageConfig, StageState
from grounder.presets import use_config_dir

ROOT = Path(__file__).resolve().parents[3]
NOISY = RecipeConfig(
    name="noisy", steps=[{"op": "gauss_noise", "p": 1.0, "variance": [0, 500]}, {"op": "flip", "p": 0.5}]
)


def rows(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "results.csv").read_text().splitlines()))


def test_two_stages_leave_what_users_of_ultralytics_know(make_tree: Callable, train: Callable) -> None:
    run = train(
        make_tree(),
        recipe=NOISY,
        stages=[StageConfig(imgsz=64, epochs=2, args={"save_period": 1}), StageConfig(imgsz=96, epochs=1)],
    )
    from ultralytics import YOLO

    for name in ("best", "last"):
        model = YOLO(str(run / "weights" / f"{name}.pt"))
        assert model.task == "detect"
        assert len(model.names) == 1
        stored = model.ckpt["train_args"]["augmentations"]
        assert "GaussNoise2024" in str(stored)  # the recipe survives in the checkpoint
        assert model.ckpt["train_args"]["imgsz"] == 96
    table = rows(run / "stage_1")
    assert [int(r["epoch"]) for r in table] == [1, 2]
    assert "metrics/mAP50(B)" in table[0]
    assert (run / "stage_1" / "weights" / "epoch1.pt").is_file()  # every epoch kept on request
    assert (run / "results.csv").is_file()


def test_the_best_checkpoint_opens_where_this_package_is_not_installed(make_tree: Callable, train: Callable) -> None:
    """A stock `YOLO()` in a fresh process that cannot import us; our transforms are named in it, not needed."""
    run = train(make_tree(), recipe=NOISY, stages=[StageConfig(imgsz=64, epochs=1)])
    code = (
        "import sys\n"
        f"sys.path = [p for p in sys.path if p.rstrip('/') not in {{'', {str(ROOT)!r}}}]\n"
        "from ultralytics import YOLO\n"
        f"model = YOLO({str(run / 'weights' / 'best.pt')!r})\n"
        f"found = model.predict({str(make_tree() / 'images' / 'val')!r}, imgsz=64, device='cpu', verbose=False)\n"
        "assert len(found) == 4 and 'GaussNoise2024' in str(model.ckpt['train_args']['augmentations'])\n"
        "assert not {'core', 'data', 'detector'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_best_epoch_is_that_of_the_chosen_metric(
    make_tree: Callable, train: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures are put in the validation's place: recall is best in the second epoch, AP in the third."""
    from ultralytics.models.yolo.detect import DetectionTrainer

    original = DetectionTrainer.validate
    recall, ap = [0.2, 0.9, 0.5], [0.1, 0.2, 0.3]

    def validate(self: DetectionTrainer) -> tuple[dict, float]:
        metrics, _ = original(self)
        metrics |= {"metrics/recall(B)": recall[self.epoch], "metrics/mAP50-95(B)": ap[self.epoch]}
        return metrics, ap[self.epoch]

    monkeypatch.setattr(DetectionTrainer, "validate", validate)
    stages = [StageConfig(imgsz=64, epochs=3, args={"save_period": 1, "lr0": 0.05})]
    run = train(make_tree(), stages=stages, training={"best_metric": BestMetric.recall})
    weights = {
        name: torch.load(run / "weights" / f"{name}.pt", weights_only=False)
        for name in ("best", "epoch0", "epoch1", "epoch2")
    }
    kept = weights["best"]["model"].state_dict()
    epochs = [weights[f"epoch{e}"]["ema"].state_dict() for e in range(3)]
    assert [all(torch.equal(kept[k], v) for k, v in epoch.items()) for epoch in epochs] == [False, True, False]


def test_what_several_gpus_are_started_with_trains_in_a_fresh_process(
    make_tree: Callable, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`device=[0,1]` starts a process a GPU from a file that Ultralytics writes; here it is run as one, on the CPU."""
    from albumentations import to_dict
    from ultralytics.utils import dist

    from data.augment import detector_transforms
    from detector.train.plan import StagePlan
    from detector.train.trainer import StageTrainer

    monkeypatch.setattr(dist, "USER_CONFIG_DIR", tmp_path)
    folder = tmp_path / "stage_1"
    StagePlan(rectangle=True, num_epochs=1).write(folder)
    trainer = StageTrainer(overrides={
        "data": str(make_tree() / "data.yaml"), "model": str(tiny_model), "save_dir": str(folder), "epochs": 3,
        "imgsz": 96, "batch": 4, "nbs": 4, "device": "cpu", "plots": False, "amp": False, "exist_ok": True,
        "augmentations": [to_dict(t) for t in detector_transforms(NOISY)],
    })  # fmt: skip
    file = dist.generate_ddp_file(trainer)
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(rows(folder)) == 1  # the plan's one epoch of a schedule of three
    state = torch.load(folder / "state" / "epoch_00000" / "state.pt", weights_only=True)
    assert state["finished"]
    stored = torch.load(folder / "weights" / "best.pt", weights_only=False)["train_args"]["augmentations"]
    assert "GaussNoise2024" in str(stored)


def test_a_recipe_that_is_not_live_stops_the_training(
    make_tree: Callable, train: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ultralytics itself logs one line and trains on without augmentation when the list cannot be built."""
    import albumentations

    def broken(*_: object, **__: object) -> None:
        raise ValueError("no such transform any more")

    monkeypatch.setattr(albumentations, "from_dict", broken)
    with pytest.raises(RuntimeError, match="recipe is not live"):
        train(make_tree(), recipe=NOISY)


def test_a_changed_setting_is_named_and_refused(make_tree: Callable, train: Callable) -> None:
    tree = make_tree()
    run = train(tree, stages=[StageConfig(imgsz=64, epochs=1)])
    with pytest.raises(InputError, match=r"detector.train.args.lr0 was None .* and is 0.5 now"):
        train(tree, stages=[StageConfig(imgsz=64, epochs=1)], args={"lr0": 0.5})
    with pytest.raises(InputError, match="seed was 0"):
        train(tree, stages=[StageConfig(imgsz=64, epochs=1)], seed=1)
    label = next((tree / "labels" / "train").glob("*.txt"))
    label.write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(InputError, match="data is another than when this training began"):
        train(tree, stages=[StageConfig(imgsz=64, epochs=1)])
    before = (run / "weights" / "best.pt").read_bytes()
    with pytest.raises(RefusedChangeError, match=r"stage_1: is complete, made with data .* cannot be put into it"):
        train(tree, stages=[StageConfig(imgsz=64, epochs=1)], allow_changes=True)
    assert (run / "weights" / "best.pt").read_bytes() == before


def test_a_finished_training_takes_more_epochs_and_nothing_else(make_tree: Callable, train: Callable) -> None:
    """With allow_changes a complete stage goes on to its new length; other changes leave folder and record alone."""
    tree, args = make_tree(), {"lrf": 1.0, "close_mosaic": 0}  # a constant rate: both ways see the same schedule
    run = train(tree, stages=[StageConfig(imgsz=64, epochs=1)], args=args)
    with pytest.raises(RefusedChangeError, match="allow_changes=true goes on"):
        train(tree, stages=[StageConfig(imgsz=64, epochs=3)], args=args)
    train(tree, stages=[StageConfig(imgsz=64, epochs=3)], args=args, allow_changes=True)
    assert len(rows(run / "stage_1")) == 3
    whole = train(tree, "whole", stages=[StageConfig(imgsz=64, epochs=3)], args=args)
    states = [next((r / "stage_1" / "state").glob("epoch_00002")) / "state.pt" for r in (run, whole)]
    one, other = (torch.load(path, weights_only=True)["model"] for path in states)
    assert all(torch.equal(one[name], other[name]) for name in one)
    kept = {path: path.read_bytes() for path in (run / "settings.json", run / "weights" / "best.pt")}
    with pytest.raises(RefusedChangeError, match="imgsz 64, and 96 cannot be put into it"):
        train(tree, stages=[StageConfig(imgsz=96, epochs=3)], args=args, allow_changes=True)
    assert all(path.read_bytes() == held for path, held in kept.items())


def test_a_kept_stage_goes_on_with_optimizer_and_schedule(make_tree: Callable, train: Callable) -> None:
    """Three epochs of a six-epoch cosine, then two more at another size: the learning rates are those of one run."""
    args = {"cos_lr": True, "optimizer": "SGD", "lr0": 0.01}
    run = train(
        make_tree(),
        args=args,
        stages=[
            StageConfig(imgsz=64, epochs=3, schedule_epochs=6),
            StageConfig(imgsz=96, epochs=2, schedule_epochs=6, state=StageState.kept, args={"mosaic": 0.0}),
        ],
    )
    whole = train(make_tree(), "whole", args=args, stages=[StageConfig(imgsz=64, epochs=6)])
    rates = [r["lr/pg0"] for s in (1, 2) for r in rows(run / f"stage_{s}")]
    expected = [r["lr/pg0"] for r in rows(whole)]
    assert rates == expected[:5]
    first = torch.load(next((run / "stage_1" / "state").glob("epoch_00002")) / "state.pt", weights_only=True)
    second = torch.load(next((run / "stage_2" / "state").glob("epoch_00004")) / "state.pt", weights_only=True)
    assert second["updates"] > first["updates"] == 9  # the moving average goes on: 12 images in batches of 4


def test_blind_trains_on_both_parts_and_keeps_the_last_epoch(make_tree: Callable, train: Callable) -> None:
    run = train(make_tree(train=8, val=4), training={"blind": True}, stages=[StageConfig(imgsz=64, epochs=2)])
    import yaml

    assert len(yaml.safe_load((run / "data.yaml").read_text())["train"]) == 2
    state = torch.load(run / "stage_1" / "state" / "epoch_00001" / "state.pt", weights_only=True)
    assert state["updates"] == 6  # 12 images, both parts, in batches of 4, twice
    best, last = (torch.load(run / "weights" / f"{n}.pt", weights_only=False)["model"] for n in ("best", "last"))
    assert all(torch.equal(best.state_dict()[k], last.state_dict()[k]) for k in best.state_dict())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"lr": 0.1}, "detector.train.args.lr: Ultralytics has no such train argument; the nearest is 'lr"),
        ({"imgsz": 64}, r"detector.train.args.imgsz: is set by stages\[\].imgsz"),
        ({"mosaic": "often"}, "mosaic"),
        ({"mosaic": 1.5}, "mosaic"),
    ],
)
def test_wrong_arguments_are_named(make_tree: Callable, train: Callable, args: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(make_tree(), args=args)


def test_a_stages_recipe_may_be_of_the_users_own_folder(make_tree: Callable, train: Callable, tmp_path: Path) -> None:
    (tmp_path / "own" / "recipe").mkdir(parents=True)
    (tmp_path / "own" / "recipe" / "mine.yaml").write_text("name: mine\nsteps: [{op: horizontal_flip, p: 0.25}]\n")
    use_config_dir(tmp_path / "own")  # what --config-dir does
    try:
        run = train(make_tree(), stages=[StageConfig(imgsz=64, epochs=1, recipe="mine")])
    finally:
        use_config_dir(None)
    made_by = json.loads((run / "stage_1" / "done.json").read_text())["made_by"]
    assert "HorizontalFlip" in json.dumps(made_by["arguments"]["augmentations"])


def test_wrong_data_and_wrong_starts_are_named(make_tree: Callable, train: Callable, tmp_path: Path) -> None:
    tree = make_tree()
    with pytest.raises(InputError, match="no such model description"):
        train(tree, model="nonesuch.yaml")
    with pytest.raises(InputError, match=r"no such file or folder"):
        train(tree, model="nonesuch.pt")
    for name, value in (("hostile", print), ("classifier", torch.nn.Linear(2, 2))):
        torch.save({"model": value}, tmp_path / f"{name}.pt")
        with pytest.raises(InputError, match=rf"{name}\.pt: "):
            train(tree, model=str(tmp_path / f"{name}.pt"))
    with pytest.raises(InputError, match="nothing to keep"):
        train(tree, stages=[StageConfig(state=StageState.kept)])
    with pytest.raises(InputError, match="neither a recipe"):
        train(tree, stages=[StageConfig(recipe="v33")])
    with pytest.raises(InputError, match="field 'val': missing"):
        (tmp_path / "bad.yaml").write_text("train: images\n")
        (tmp_path / "images").mkdir()
        shutil.copy(tree / "images" / "train" / "train_00.png", tmp_path / "images")
        train(tmp_path / "bad.yaml")
    (tree / "images" / "train" / "odd.png").write_bytes((tree / "images" / "train" / "train_00.png").read_bytes())
    from core.images import read_image, write_image

    write_image(tree / "images" / "train" / "odd.png", read_image(tree / "images" / "train" / "odd.png")[:40])
    with pytest.raises(InputError, match=r"odd.png: detector.train.rectangle=images"):
        train(tree, training={"rectangle": Rectangle.images})
