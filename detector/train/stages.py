"""The stages of a training, one after the other, each in a folder of its own."""

import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from core.errors import InputError, RefusedChangeError
from core.files import open_atomic, read_json, write_json, write_text
from core.images import read_image
from core.runs import RunFolder
from core.settings import BEGUN, differences, plain, refuse_changes
from core.tracking import Tracker, start_tracker
from data.recipe import RecipeConfig
from detector.settings import Rectangle, StageConfig, StageState
from detector.train.advice import advice
from detector.train.plan import StagePlan
from detector.train.settings import TrainConfig
from detector.train.start import find_start, is_loop_start
from detector.train.tree import Tree, read_tree
from eval.live.page import LivePage
from eval.tracked import artifact_name

DONE = "done.json"


def train_stages(config: TrainConfig, folder: RunFolder) -> dict[str, object]:
    """Check everything, then train each stage that is not complete; returns the last stage's metrics."""
    stages = _stages(config)
    config = replace(config, stages=stages) if config.epochs or config.imgsz else config
    start = find_start(config.detector)
    tree = read_tree(config.data)
    rectangle = _rectangle(config.detector.train.rectangle, tree)
    recipes = [_recipe(config.recipe, stage.recipe) for stage in stages]
    trainer = _trainer(config, stages, recipes, start, tree)
    plans = [_plan(config, stage, index, rectangle, folder.path) for index, stage in enumerate(stages, start=1)]
    made_by = [_made_by(plan, values, tree) for plan, values in zip(plans, trainer.arguments, strict=True)]
    settings = _settings(config, tree)
    refuse_changes(folder.path, settings, config.allow_changes, write=False)
    plans = _extended(folder.path, plans, made_by, settings)
    folder.add_parent(tree.path)
    if folder.is_main:
        refuse_changes(folder.path, settings, allow=True)
    data_yaml = tree.write_yaml(folder.path / "data.yaml", blind=config.detector.train.blind)
    # With several GPUs the training is another process's, and so is its tracking.
    alone = folder.is_main and not (isinstance(config.device, list) and len(config.device) > 1)
    tracker = start_tracker(config.tracking, folder, "detector.train", settings) if alone else None
    began, metrics = time.monotonic(), {}
    try:
        with LivePage(folder.path, "detector.train").lasting() if folder.is_main else nullcontext():
            for plan, made in zip(plans, made_by, strict=True):
                path = _stage_folder(folder.path, plan.index)
                work = partial(trainer.train, path, plan, data_yaml, start, tracker)
                metrics = _train_stage(trainer, path, plan, work, made, tracker)
                start = trainer.best(path)
        if tracker is not None:
            tracker.log_artifact(Path(start), artifact_name(folder.id, "detector.train"), "detector")
    finally:
        if tracker is not None:
            tracker.finish()
    if folder.is_main:
        _publish(_stage_folder(folder.path, len(stages)), folder.path)
    told = advice(metrics, tree, stages[-1].imgsz, sum(stage.epochs for stage in stages))
    more = {} if told is None or config.detector.train.blind else {"advice": told}
    return {**metrics, "num_stages": len(stages), "train_s": round(time.monotonic() - began, 1), **more}


class Trainer(Protocol):
    """Whoever trains the stages."""

    arguments: list[dict[str, Any]]  # what each stage's weights depend on beside the plan

    def train(self, path: Path, plan: StagePlan, data_yaml: Path, start: Path | str, tracker: Tracker | None) -> None:
        """Train one stage in its folder, or go on with it."""

    def metrics(self, path: Path) -> dict[str, object]:
        """AP, AP50, precision and recall of the epoch whose weights are the best."""

    def best(self, path: Path) -> Path:
        """Where a trained stage's best weights are."""


def _trainer(
    config: TrainConfig, stages: list[StageConfig], recipes: list[RecipeConfig], start: Path | str, tree: Tree
) -> Trainer:
    """Our loop for what starts from a detector of ours, Ultralytics for the rest; every setting is checked."""
    if is_loop_start(start):
        from detector.train.loop.stages import LoopStages

        return LoopStages(config, stages, recipes, start, tree)
    from detector.train.ultralytics_stages import UltralyticsStages

    return UltralyticsStages(config, stages, recipes)


def _stages(config: TrainConfig) -> list[StageConfig]:
    """The settings' stages or the preset's, with the one stage's `epochs` and `imgsz` where they are given alone."""
    stages = config.stages or config.detector.train.stages or [StageConfig()]
    for name in ("epochs", "imgsz"):
        value = getattr(config, name)
        if value is None:
            continue
        if len(config.stages) > 1:
            raise InputError(f"{name}: this training has {len(stages)} stages; give all of them by stages=[...]")
        if len(stages) > 1:
            print(f"one stage, by {name}={value}, in place of the preset's {len(stages)}")
        if value < 1:
            raise InputError(f"{name}: {value} is not at least 1")
        stages = [replace(stages[0], **{name: value})]
    return stages


def _stage_folder(run: Path, index: int) -> Path:
    return run / f"stage_{index}"


def _made_by(plan: StagePlan, arguments: dict[str, Any], tree: Tree) -> dict[str, Any]:
    """Everything that a stage's weights depend on, beside where they start."""
    about = {k: v for k, v in asdict(plan).items() if k not in {"previous", "extended", "run_dir", "tracking"}}
    lasting = {k: v for k, v in arguments.items() if k not in {"device", "workers"}}
    return dict(plain({"plan": about, "arguments": lasting, "data": tree.digest()}))


def _extended(
    run: Path, plans: list[StagePlan], made_by: list[dict[str, Any]], settings: dict[str, Any]
) -> list[StagePlan]:
    """The plans, of which a complete last stage may now ask for more epochs.

    Raises RefusedChangeError for a complete stage that other settings made: they cannot be put into its weights.
    """
    checked = []
    for plan, now in zip(plans, made_by, strict=True):
        done = _stage_folder(run, plan.index) / DONE
        was = read_json(done).get("made_by") if done.is_file() else None
        if was is None and done.is_file():  # an earlier version's, which kept its settings for the whole run alone
            was, now = read_json(run / BEGUN), settings
        changed = differences(was, now) if was is not None else []
        grown = {"plan.num_epochs", "arguments.epochs"}
        only_epochs = bool(changed) and {name for name, _, _ in changed} <= grown
        is_longer = only_epochs and plan.previous is None and all(before < after for _, before, after in changed)
        if changed and not (is_longer and plan.index == len(plans)):
            name, before, after = changed[0]
            raise RefusedChangeError(
                f"{done.parent}: is complete, made with {name} {before!r}, and {after!r} cannot be put into it; "
                "another run_dir starts anew"
            )
        checked.append(replace(plan, extended=is_longer))
    return checked


def _train_stage(
    trainer: Trainer, path: Path, plan: StagePlan, work: Callable[[], None], made_by: dict[str, Any],
    tracker: Tracker | None,
) -> dict[str, object]:  # fmt: skip
    """Train one stage, or go on with it, or reuse it; returns the metrics of its best epoch."""
    if (path / DONE).is_file() and not plan.extended:
        print(f"stage {plan.index}: already done, reused ({path})")
        return {name: value for name, value in read_json(path / DONE).items() if name != "made_by"}
    path.mkdir(parents=True, exist_ok=True)
    plan.write(path)
    work()
    metrics = trainer.metrics(path)
    write_json(path / DONE, {**metrics, "made_by": made_by})
    if tracker is not None:
        for image in sorted([*path.glob("val_batch*_pred.jpg"), *path.glob("results.png")]):  # where plots are on
            tracker.log_images(f"stage_{plan.index}/{image.stem}", [read_image(image)])
        tracker.log({f"best/{name}": float(str(value)) for name, value in metrics.items()})
    return metrics


def _publish(stage: Path, root: Path) -> None:
    """Put the last stage's weights, its kept epochs among them, where users of Ultralytics look for them."""
    (root / "weights").mkdir(exist_ok=True)
    for source in sorted((stage / "weights").glob("*.pt")):
        with open(source, "rb") as stream, open_atomic(root / "weights" / source.name) as target:
            shutil.copyfileobj(stream, target)
    for source in sorted(p for p in (stage / "weights").iterdir() if (p / "config.json").is_file()):
        unfinished = root / "weights" / f"{source.name}.partial"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(source, unfinished)
        shutil.rmtree(root / "weights" / source.name, ignore_errors=True)
        unfinished.rename(root / "weights" / source.name)
    write_text(root / "results.csv", (stage / "results.csv").read_text())


def _plan(config: TrainConfig, stage: StageConfig, index: int, rectangle: bool, run: Path) -> StagePlan:
    if stage.state is StageState.kept and index == 1:
        raise InputError("stages[0].state: the first stage has nothing to keep; use fresh")
    crop = stage.crop or config.detector.train.crop
    if crop is not None and (len(crop) != 2 or min(crop) < 1):
        raise InputError(f"stages[{index - 1}].crop: {crop} must be [width, height]")
    share = config.detector.train.crop_share if stage.crop_share is None else stage.crop_share
    return StagePlan(
        index=index,
        num_epochs=stage.epochs,
        previous=str(_stage_folder(run, index - 1)) if stage.state is StageState.kept else None,
        rectangle=rectangle,
        crop=None if crop is None else (crop[0], crop[1]),
        crop_share=0.0 if crop is None else share,
        best_metric=config.detector.train.best_metric.name,
        run_dir=str(config.run_dir),
        tracking=plain(asdict(config.tracking)),
    )


def _recipe(default: RecipeConfig, name: str | None) -> RecipeConfig:
    """A stage's own recipe, by the name or path of its YAML file, or else the command's."""
    if name is None:
        return default
    from omegaconf import OmegaConf

    from grounder.presets import find_preset

    source = Path(name) if Path(name).is_file() else find_preset("recipe", name)
    if source is None:
        raise InputError(f"stages[].recipe: {name!r} is neither a recipe, shipped or of --config-dir, nor a file")
    values = OmegaConf.merge(OmegaConf.structured(RecipeConfig), OmegaConf.create(source.read_text()))
    return RecipeConfig(**OmegaConf.to_container(values))  # type: ignore[arg-type]


def _rectangle(wanted: Rectangle, tree: Tree) -> bool:
    if wanted is Rectangle.square:
        return False
    odd = tree.odd_one_out()
    if odd is not None and wanted is Rectangle.images:
        raise InputError(f"{odd}: detector.train.rectangle=images needs images of one shape, this one differs")
    return odd is None


def _settings(config: TrainConfig, tree: Tree) -> dict[str, Any]:
    """Everything that the weights depend on."""
    values = asdict(replace(config, tracking=None))  # type: ignore[arg-type]
    for name in ("epochs", "imgsz", "weights_dir", "run_dir", "tracking", "allow_changes", "data", "published"):
        values.pop(name)
    depth = values.pop("decoding")["depth"]  # on the rest no pixel depends
    values |= {"depth": depth} if depth is not None else {}
    return {**plain(values), "data": tree.digest()}
