"""What a chain's later steps would refuse, looked for before its first one begins."""

import importlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from chain_steps import Labels, Step  # beside this script

from core.errors import InputError
from core.files import write_text


def read_labels(root: Path, annotations: str | None, images: str | None) -> Labels:
    """The annotation files that the labels of another tool become, by `data.read`; a file of ours stays as it is.

    The parts `train` and `val` stay apart, and the images that the labels bring stand in for a folder not given.
    """
    from core.files import read_json
    from data.read import main as read
    from data.sources import is_ours

    if annotations is None or is_ours(annotations):
        return Labels(annotations, images)
    words = [f"source={annotations}", *([f"images={images}"] if images is not None else []), f"run_dir={root}/labels"]
    print(f"read the labels\n    $ {shlex.join(['grounder', 'data.read', *words])}", flush=True)
    read(words)
    made = read_json(root / "labels" / "metrics.json")
    parts = {part: str(root / "labels" / f"{part}.jsonl") for part in made["parts"]}
    folders = {part: images or made["images"].get(part) for part in parts}
    if len(parts) == 1:
        ((part, path),) = parts.items()
        return Labels(path, folders[part])
    if not {"train", "val"} <= parts.keys():
        names = ", ".join(parts.values())
        raise InputError(f"{annotations}: has the parts {', '.join(parts)} and not both train and val; "
                         f"annotations=FILE takes one of {names} and splits it")  # fmt: skip
    lacking = [part for part in ("train", "val") if folders[part] is None]
    if lacking:
        raise InputError(f"images: must be given (images=DIR): {annotations} does not say where those of "
                         f"{' and '.join(lacking)} lie")  # fmt: skip
    others = [part for part in parts if part not in {"train", "val"}]
    if others:
        print(f"{annotations}: left out here: {', '.join(others)}")
    return Labels(parts["train"], folders["train"], parts["val"], folders["val"])


def check_chain(root: Path, steps: Sequence[Step], labels: Labels) -> None:
    """Raise InputError for a folder that cannot be written, faulty annotations or images, settings, missing weights."""
    write_text(root / ".writable", "")
    (root / ".writable").unlink()
    if labels.train is not None:
        _check_annotations(labels.train, labels.images, least=2 if labels.val is None else 1)
    elif labels.images is not None:
        raise InputError(f"images: {labels.images} without annotations=FILE; there is nothing to look for in them")
    if labels.val is not None:
        _check_annotations(labels.val, labels.val_images, least=1)
    for step in steps:
        if step.command in {"detector.train", "upscale.crops", "siglip.train"}:
            _check_weights(step)


def _check_annotations(annotations: str, images: str | None, least: int) -> None:
    """Every entry, image and box, and that there is enough to hold some out."""
    from data.frames import frame_images, require_images
    from data.sources import read_any

    entries = read_any(annotations)
    if len(entries) < least:
        raise InputError(f"{annotations}: {len(entries)} images; some must be held out, so two are the least")
    if not any(entry.targets for entry in entries):
        raise InputError(f"{annotations}: holds no boxes, so nothing could be trained")
    if images is not None:
        require_images(annotations, [(entry.image, entry.line) for entry in entries], images)
        frame_images(annotations, entries, images)


def _check_weights(step: Step) -> None:
    """The step's settings compose, and the weights it starts from are here or can be had."""
    from grounder.compose import compose_config, register

    module = importlib.import_module(step.command)
    schema = next(value for name, value in vars(module).items() if name.endswith("Config") and name in _SCHEMAS)
    config = compose_config(register(step.command, schema), step.words)
    if step.command == "detector.train":
        from detector.weights import find_weights

        start = config.detector.weights or config.detector.train.model
        if start is not None and not str(start).endswith((".yaml", ".yml")):
            find_weights(str(start))
    elif step.command == "siglip.train" and config.scorer.weights:
        from siglip.weights import find_scorer

        find_scorer(config.scorer.weights)
    elif step.command == "upscale.crops":
        _check_upscaler(config)


_SCHEMAS = ("TrainConfig", "UpscaleConfig")


def _check_upscaler(config: object) -> None:
    from core.weights import fetched

    weights = config.upscaler.weights  # type: ignore[attr-defined]
    if weights and not fetched(str(weights)).exists():
        raise InputError(f"upscaler.weights: {weights}: no such file, neither here nor as {fetched(str(weights))}; "
                         "scripts/fetch_weights.sh gets it")  # fmt: skip
