"""What a chain's later steps would refuse, looked for before its first one begins."""

import importlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from chain_steps import Step  # beside this script

from core.errors import InputError
from core.files import write_text


def read_labels(root: Path, annotations: str | None, images: str | None) -> str | None:
    """The annotation file that the labels of another tool become, by `data.read`; a file of ours stays as it is."""
    from data.read import main as read
    from data.sources import is_ours

    if annotations is None or is_ours(annotations):
        return annotations
    words = [f"source={annotations}", *([f"images={images}"] if images is not None else []), f"run_dir={root}/labels"]
    print(f"read the labels\n    $ {shlex.join(['grounder', 'data.read', *words])}", flush=True)
    read(words)
    parts = sorted((root / "labels").glob("*.jsonl"))
    if len(parts) != 1:
        names = ", ".join(map(str, parts))
        raise InputError(f"{annotations}: has several parts ({names}); annotations=FILE takes one of them")
    return str(parts[0])


def check_chain(root: Path, steps: Sequence[Step], annotations: str | None, images: str | None) -> None:
    """Raise InputError for a folder that cannot be written, faulty annotations or images, settings, missing weights."""
    write_text(root / ".writable", "")
    (root / ".writable").unlink()
    if annotations is not None:
        _check_annotations(annotations, images)
    elif images is not None:
        raise InputError(f"images: {images} without annotations=FILE; there is nothing to look for in them")
    for step in steps:
        if step.command in {"detector.train", "upscale.crops", "siglip.train"}:
            _check_weights(step)


def _check_annotations(annotations: str, images: str | None) -> None:
    """Every entry, image and box, and that there is enough to hold some out."""
    from data.frames import frame_images, require_images
    from data.sources import read_any

    entries = read_any(annotations)
    if len(entries) < 2:
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
