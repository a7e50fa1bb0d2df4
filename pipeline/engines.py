"""Detector and scorer by another engine than torch: graphs made once a checkpoint, and used only where they agree.

GRAPHS/detector-DIGEST/      the exported detector; its manifest, written last, makes the folder count
GRAPHS/scorer-DIGEST/        the exported scorer
GRAPHS/NAME.ENGINE.json      what the engine's answers were beside torch's when it was first used
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core.engines import Engine, graphs_folder, made_once
from core.errors import InputError, reason
from core.files import read_json, sha256_bytes, sha256_file, write_json
from core.stages import Image
from detector.settings import MemberConfig
from pipeline.settings import PipelineConfig
from siglip.settings import EXPORTED, Family, Precision, ScorerConfig, ScorerMemberConfig

VERSION = 1  # of how graphs are made: a change makes them anew
SAME_IOU, SAME_SHARE, SAME_SCORE = 0.99, 0.99, 0.01  # boxes that agree, and how far apart scores may lie
SAME_EMBEDDING = 1e-3  # of a unit embedding's numbers
LIKELIEST = 300  # boxes that are compared
CAPTIONS = ("red drone", "a white and grey helicopter seen from above", "blue missile")


def with_engine(config: PipelineConfig) -> PipelineConfig:
    """The settings with the graphs of `config.engine` in the place of the checkpoints.

    A stage whose graph cannot be made, or that does not agree with torch, keeps its checkpoint, and a line says so.
    Raises InputError for a GPU, and for a precision that a graph does not have.
    """
    engine = config.engine
    if engine is Engine.torch:
        return config
    if config.device != "cpu":
        raise InputError(f"engine: {engine.name} is for a CPU; on {config.device} torch computes")
    changed = replace(config, detector=deepcopy(config.detector), scorer=deepcopy(config.scorer))
    if changed.detector is not None:
        for member in changed.detector.members or [changed.detector]:
            if member.weights:
                _settle("detector", str(member.weights), engine, partial(_detector, member, engine))
    if changed.scorer is not None:
        for one in changed.scorer.members or [changed.scorer]:
            if one.weights:
                _check_precision(one, engine)
                _settle("scorer", str(one.weights), engine, partial(_scorer, one, engine))
    return changed


def _settle(stage: str, weights: str, engine: Engine, change: Callable[[], str | None]) -> None:
    """Say why a stage stays with torch, where it does."""
    try:
        told = change()
    except Exception as error:  # exporters raise errors of their own for networks that they do not know
        if isinstance(error, InputError) and str(error).startswith("engine: "):
            raise
        told = reason(error)
    if told is not None:
        print(f"{stage}: {weights} stays with torch, not engine={engine.name}: {told}", flush=True)


def _detector(member: MemberConfig, engine: Engine) -> str | None:
    """Put a detector's graph in the place of its checkpoint; or why not."""
    from detector.inference.member import member_name
    from detector.models.opening import is_ours
    from detector.weights import find_weights

    path = find_weights(str(member.weights))
    if path.suffix == ".onnx":
        return None  # it is a graph already
    if path.suffix == ".engine":
        return "a TensorRT engine runs on a GPU alone"
    files = sorted(p for p in path.iterdir() if p.is_file()) if is_ours(path) else [path]
    digest = _digest("detector", *map(sha256_file, files))
    folder = made_once(graphs_folder() / f"detector-{digest}", lambda target: _export_detector(path, target))
    graph = next(folder.glob("*.onnx"))
    found = _once(folder, engine, lambda: _compare_detectors(path, graph, member, engine))
    if found["share"] < SAME_SHARE or not found["apart"] <= SAME_SCORE:
        return f"{100 * found['share']:.1f} % of its boxes agree, confidences lie up to {found['apart']:.2g} apart"
    member.name = member_name(member, path)  # whatever the graph's file is called
    member.weights = str(graph)
    return None


def _export_detector(path: Path, target: Path) -> None:
    """The detector as ONNX for any batch and size, without the date that would make every export another file."""
    import onnx

    from core.runs import RunFolder
    from detector.export.settings import ExportConfig
    from detector.export.writing import export_and_compare

    export_and_compare(ExportConfig(weights=str(path)), RunFolder(target, "detector.export"))
    graph = next(target.glob("*.onnx"))
    model = onnx.load(graph)
    kept = [entry for entry in model.metadata_props if entry.key != "date"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, graph)


def _compare_detectors(path: Path, graph: Path, member: MemberConfig, engine: Engine) -> dict[str, float]:
    """Of the likeliest boxes of a drawn pattern, the share that the engine has too, and confidences' distance."""
    from core.boxes import iou_matrix
    from detector.inference.ensemble import load_network
    from detector.inference.letterbox import input_shape, letterbox

    ours = load_network(path, member, "cpu")
    size = ours.imgsz if member.imgsz is None else member.imgsz
    sides = [size] if isinstance(size, int) else list(size)
    shape = input_shape((1, 1), (int(sides[0]), int(sides[-1])), ours.stride)
    inputs = letterbox(_pattern(*shape), shape)[0][None]
    theirs = load_network(graph, member, "cpu", engine)
    wanted, found = ours.predict(inputs, 0.0)[0], theirs.predict(inputs, 0.0)[0]
    if not len(wanted) or not len(found):
        return {"share": float(len(wanted) == len(found)), "apart": 0.0}
    wanted = wanted.take(np.argsort(-wanted.confidence, kind="stable")[:LIKELIEST])
    overlap = iou_matrix(wanted.boxes_xyxy, found.boxes_xyxy)
    near = np.abs(wanted.confidence[:, None] - found.confidence[None])
    apart = np.where(overlap >= SAME_IOU, near, np.inf).min(1)
    same = np.isfinite(apart)
    return {"share": float(same.mean()), "apart": float(apart[same].max(initial=0.0))}


def _pattern(height: int, width: int) -> Image:
    """Blocks and noise, something for every anchor to answer to."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (max(2, height // 16), max(2, width // 16), 3))
    image = np.repeat(np.repeat(coarse, 16, axis=0), 16, axis=1)
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)


def _check_precision(member: ScorerMemberConfig, engine: Engine) -> None:
    if member.precision is not Precision.float32:
        raise InputError(f"engine: {engine.name} computes in float32, scorer.precision is {member.precision.value}")


def _scorer(member: ScorerMemberConfig, engine: Engine) -> str | None:
    """Put a scorer's two graphs in the place of its checkpoint; or why not."""
    from siglip.export.graphs import export_and_compare
    from siglip.export.settings import ExportConfig
    from siglip.scorers.two_towers import weights_digest
    from siglip.weights import find_scorer

    weights = find_scorer(str(member.weights))
    if (Path(weights) / EXPORTED).is_file():
        return None
    digest = _digest("scorer", weights_digest(weights), str(member.template))
    wanted = ExportConfig(weights=weights, template=member.template)
    folder = made_once(graphs_folder() / f"scorer-{digest}", lambda target: export_and_compare(wanted, target))
    found = _once(folder, engine, lambda: _compare_scorers(member, folder, engine))
    if not (found["embedding"] <= SAME_EMBEDDING and found["score"] <= SAME_SCORE):
        return f"embeddings lie up to {found['embedding']:.2g}, scores up to {found['score']:.2g} apart"
    member.weights, member.family = str(folder), Family.onnx
    return None


def _compare_scorers(member: ScorerMemberConfig, folder: Path, engine: Engine) -> dict[str, float]:
    """The largest differences of unit embeddings and, of families with a sigmoid, of scores."""
    from siglip.build import build_scorer

    ours = build_scorer(ScorerConfig(weights=member.weights, template=member.template))
    exported = ScorerConfig(weights=str(folder), template=member.template, family=Family.onnx)
    theirs = build_scorer(exported, engine=engine)
    crops = [_pattern(24 + 8 * i, 56 - 8 * i) for i in range(5)]
    images = [s.embed_images(crops) for s in (ours, theirs)]
    texts = [s.embed_texts(CAPTIONS) for s in (ours, theirs)]
    apart = max(float(np.abs(a - b).max()) for a, b in (images, texts))
    scores = [s.scores(image, text) for s, image, text in zip((ours, theirs), images, texts, strict=True)]
    sigmoid = bool(ours.calibration.get("sigmoid"))
    return {"embedding": apart, "score": float(np.abs(scores[0] - scores[1]).max()) if sigmoid else 0.0}


def _digest(*parts: object) -> str:
    return sha256_bytes(" ".join(map(str, (VERSION, *parts))).encode())[:16]


def _once(folder: Path, engine: Engine, compare: Callable[[], dict[str, float]]) -> dict[str, Any]:
    """What a comparison said when an engine first ran a folder's graphs."""
    path = folder.with_name(f"{folder.name}.{engine.name}.json")
    if path.is_file() and path.stat().st_mtime >= (folder / "manifest.json").stat().st_mtime:
        return dict(read_json(path))
    found = compare()
    write_json(path, found)
    return found
