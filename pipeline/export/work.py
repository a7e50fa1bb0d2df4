"""The work of `pipeline.export`: batches of images through every stage into the store, then answers from the store."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.answering import known_captions
from core.cuts import CutConfig, Point, cut_and_fuse
from core.errors import InputError
from core.images import read_image
from core.listing import image_path
from core.pixels import crop_box, pixel_boxes
from core.progress import progress
from core.records import Detection, read_predictions, write_detections, write_predictions
from core.runs import RunFolder
from core.stages import Image
from core.store import CandidateStore, image_digest
from data.captions import CaptionedImage, read_annotations, read_captions
from data.frames import frame_images, require_images
from data.sources import settle
from eval.answers.joining import score_keyed
from eval.answers.measures import grounding_metrics
from eval.tracked import tell
from onestage.build import build_reranker
from pipeline.build import build_pipeline
from pipeline.export.answers import Answers
from pipeline.export.points import points
from pipeline.export.settings import ExportConfig
from pipeline.export.share import Share
from pipeline.grounding import Grounding, build_grounding
from pipeline.memory import peak_memory
from pipeline.system import Pipeline
from siglip.settings import scorer_weights
from siglip.weights import find_scorer

# AP wants the whole curve: detections go out uncut by confidence, after the export's own NMS.
AP_CONFIDENCE, AP_MAX_DET = 0.001, 300


def export(config: ExportConfig, folder: RunFolder) -> dict[str, Any]:
    """Fill the store, then write answers and detections from it; returns the metrics."""
    settle(config, folder)
    captioned = read_captions(config.annotations)
    _check(config, captioned)
    share = Share.of_this_process(config.device)
    spent: dict[str, list[tuple[float, int]]] = {}  # of each stage, (seconds, things) a batch
    config = replace(config, device=share.device)

    def on_stage(stage: str, seconds: float, count: int) -> None:
        spent.setdefault(stage, []).append((seconds, count))

    store = CandidateStore(config.candidates or folder.path / "candidates")
    reranker = build_reranker(config.reranker) if config.reranker is not None and config.reranker.weights else None
    grounding = build_grounding(config, store, {e.image: e.captions for e in captioned}, on_stage)
    pipeline = build_pipeline(config, on_stage, grounding)
    for path in (config.annotations, config.detector.weights if config.detector else None,
                 config.onestage.weights if grounding is not None and config.onestage else None,
                 *scorer_weights(config.scorer)):  # fmt: skip
        if path is not None:
            folder.add_parent(path)
    _describe(store, pipeline, config, grounding)
    digests, sizes = _fill(store, pipeline, captioned, config, share, grounding)
    digests, sizes = share.union(digests), share.union(sizes)
    spent = share.joined(spent)  # what on_stage notes from here on is the first process's
    peaks = share.joined({name: [mib] for name, mib in peak_memory().items()})
    share.end()
    if not share.is_first:
        return {}
    store.write_set(digests, sizes)
    answers = Answers(store, pipeline, grounding, reranker, Path(config.images), digests, sizes, on_stage)
    write_predictions(folder.path / "predictions.jsonl", answers.all(captioned))
    image_ids = {entry.image: entry.line if entry.id is None else entry.id for entry in captioned}
    write_detections(folder.path / "detections.json", _detections(store, pipeline, captioned, digests), image_ids)
    metrics = _metrics(captioned, folder, config)
    metrics |= {"stages": {stage: stage_times(times) for stage, times in spent.items()}}
    metrics |= {name: max(mib, *peaks[name]) for name, mib in peak_memory().items()}
    metrics |= {"detector_key": pipeline.detector.key}  # what the store calls them
    metrics |= _told(grounding, captioned, digests, answers)
    metrics |= _candidates(store, pipeline, captioned, digests, answers) if grounding is None else {}
    metrics |= {"embeddings_key": pipeline.embeddings_key} if pipeline.scorer is not None else {}
    rows = [{"stage": stage, **times} for stage, times in metrics["stages"].items()]
    files = [folder.path / "predictions.jsonl", folder.path / "detections.json"]
    tell(config.tracking, folder, metrics, {"stages": rows}, files=files)
    return metrics


def _check(config: ExportConfig, captioned: Sequence[CaptionedImage]) -> None:
    """InputError, before a model is loaded, for what a later step would refuse: images, boxes, names of weights."""
    require_images(config.annotations, [(entry.image, entry.line) for entry in captioned], config.images)
    if all(boxes is not None for entry in captioned for boxes in entry.boxes_ltwh):
        frame_images(config.annotations, read_annotations(config.annotations), config.images)
    if config.batch < 1:
        raise InputError(f"batch: {config.batch} is not at least 1")
    for weights in scorer_weights(config.scorer):
        find_scorer(weights)


def _candidates(
    store: CandidateStore, pipeline: Pipeline, captioned: Sequence[CaptionedImage], digests: dict[str, str],
    answers: Answers,
) -> dict[str, Any]:  # fmt: skip
    """How many candidates the answers were chosen from; of none, what to try."""
    if answers.num_candidates or not captioned:
        return {"num_candidates": answers.num_candidates}
    views = [view for e in captioned for view in store.read_views(pipeline.detector.key, digests[e.image])]
    highest = max((float(v.candidates.confidence.max(initial=0.0)) for v in views), default=0.0)
    seen = f"its highest confidence anywhere is {highest:.3g}" if highest else "it finds nothing at any confidence"
    lower = "lower confidence, or " if highest else ""
    told = (
        f"the detector offers no candidate in any of {len(captioned)} images at confidence "
        f"{pipeline.config.confidence:g}; {seen}: try a {lower}a detector trained longer or at a larger imgsz"
    )
    return {"num_candidates": 0, "advice": told}


def _describe(store: CandidateStore, pipeline: Pipeline, config: ExportConfig, grounding: Grounding | None) -> None:
    if grounding is not None and config.onestage is not None:
        about: dict[str, Any] = {"detector": asdict(config.onestage), "grounded": grounding.said_key}
    else:
        about = {"detector": asdict(config.detector)} if config.detector is not None else {}
        about.get("detector", {}).pop("train", None)
    store.describe("proposals", pipeline.detector.key, _json_value(about))
    if pipeline.scorer is not None:
        about = {"scorer": " + ".join(scorer_weights(config.scorer)), "scorer_key": pipeline.scorer.key,
                 "upscaler": pipeline.upscaler.policy if pipeline.upscaler else "none",
                 "calibration": pipeline.scorer.calibration, "views": _crop_views(config)}  # fmt: skip
        store.describe("embeddings", pipeline.embeddings_key, about)


def _crop_views(config: ExportConfig) -> list[list[str]]:
    """The views of a crop that each of the scorer's checkpoints embeds."""
    members = [] if config.scorer is None else config.scorer.members or [config.scorer]
    return [[view.value for view in member.views] for member in members]


def _told(
    grounding: Grounding | None, captioned: Sequence[CaptionedImage], digests: dict[str, str], answers: Answers
) -> dict[str, Any]:
    """What only one-stage models and re-rankers have to tell."""
    told: dict[str, Any] = {}
    if grounding is not None:
        said = [grounding.said(digests[e.image], c) for e in captioned for c in e.captions]
        told = {"onestage_key": grounding.said_key, "num_unparsed": sum(s.unparsed for s in said),
                "num_truncated": sum(s.truncated for s in said), "num_tokens": sum(s.tokens for s in said)}  # fmt: skip
    if answers.reranker is not None:
        told |= {"reranker_key": answers.reranker.key, "num_reranked": answers.num_reranked,
                 "num_unparsed_choices": answers.num_unparsed_choices}  # fmt: skip
    return told


def _json_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _json_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(v) for v in value]
    return value if isinstance(value, str | int | float | None) else str(getattr(value, "name", value))


def _batches(captioned: Sequence[CaptionedImage], size: int) -> Iterator[Sequence[CaptionedImage]]:
    for start in range(0, len(captioned), size):
        yield captioned[start : start + size]


def _fill(
    store: CandidateStore,
    pipeline: Pipeline,
    captioned: Sequence[CaptionedImage],
    config: ExportConfig,
    share: Share,
    grounding: Grounding | None,
) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    """Put what the store lacks into it, in batches; returns the images' digests and (width, height).

    Processes share whole batches, so that every batch is what one process alone would have made of it.
    """
    digests: dict[str, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    wanted = points(config)
    if share.is_first:
        _fill_texts(store, pipeline, captioned)
    batches = list(_batches(captioned, config.batch))[share.rank :: share.processes]
    for batch in progress(batches, "exporting (batches)", len(batches)):
        images = {entry.image: read_image(image_path(config.images, entry.image)) for entry in batch}
        for name, image in images.items():
            digests[name], sizes[name] = image_digest(image), (image.shape[1], image.shape[0])
        if grounding is not None:
            grounding.fill([*images.values()], [digests[n] for n in images], [entry.captions for entry in batch])
        fresh = [n for n in images if not store.has_views(pipeline.detector.key, digests[n])]
        for name, views in zip(fresh, pipeline.propose([images[n] for n in fresh]) if fresh else [], strict=True):
            store.write_views(pipeline.detector.key, digests[name], views)
        if pipeline.scorer is not None:
            _fill_embeddings(store, pipeline, images, digests, wanted)
    return digests, sizes


def _fill_texts(store: CandidateStore, pipeline: Pipeline, captioned: Sequence[CaptionedImage]) -> None:
    if pipeline.scorer is None:
        return
    known = store.read_texts(pipeline.scorer.key)
    asked = {c for entry in captioned for c in entry.captions} | {*known_captions(pipeline.scorer.calibration)}
    fresh = sorted(asked - known.keys())
    if fresh:
        store.add_texts(pipeline.scorer.key, fresh, pipeline.embed_texts(fresh))


def _fill_embeddings(
    store: CandidateStore,
    pipeline: Pipeline,
    images: dict[str, Image],
    digests: dict[str, str],
    wanted: Sequence[Point],
) -> None:
    """Embed the union of the distinct crops that the points need and the store lacks, all images' crops together."""
    jobs: list[tuple[str, np.ndarray]] = []
    for name, image in images.items():
        views = store.read_views(pipeline.detector.key, digests[name])
        needed = [pixel_boxes(p.candidates(views).boxes_xyxy, image.shape[1], image.shape[0]) for p in wanted]
        boxes = np.unique(np.concatenate(needed), axis=0)
        stored, _ = store.read_embeddings(pipeline.embeddings_key, digests[name])
        known = set(map(tuple, stored.tolist()))
        jobs.append((name, np.asarray([b for b in boxes.tolist() if tuple(b) not in known], np.int32).reshape(-1, 4)))
    if not any(len(boxes) for _, boxes in jobs):
        return
    embeddings = pipeline.embed_crops(crop_box(images[name], box) for name, boxes in jobs for box in boxes)
    start = 0
    for name, boxes in jobs:
        if len(boxes):
            part = embeddings[start : start + len(boxes)]
            store.add_embeddings(pipeline.embeddings_key, digests[name], boxes, part)
            start += len(boxes)


def _detections(
    store: CandidateStore, pipeline: Pipeline, captioned: Sequence[CaptionedImage], digests: dict[str, str]
) -> Iterator[Detection]:
    cuts = pipeline.config
    everything = CutConfig(AP_CONFIDENCE, cuts.nms_iou, AP_MAX_DET, cuts.fusion, cuts.vote_iou)
    for entry in captioned:
        found = cut_and_fuse(store.read_views(pipeline.detector.key, digests[entry.image]), everything)
        found = found.take(found.confidence >= np.float32(AP_CONFIDENCE))  # an average of views may lie below it
        for (x1, y1, x2, y2), score in zip(found.boxes_xyxy.tolist(), found.confidence.tolist(), strict=True):
            yield Detection(entry.image, (x1, y1, x2 - x1, y2 - y1), score)


def _metrics(captioned: Sequence[CaptionedImage], folder: RunFolder, config: ExportConfig) -> dict[str, Any]:
    metrics: dict[str, Any] = {"num_images": len(captioned), "num_captions": sum(len(c.captions) for c in captioned)}
    if all(box is not None for entry in captioned for box in entry.boxes_ltwh) and metrics["num_captions"]:
        # the file is read again: what is judged is what others will read
        entries = read_predictions(folder.path / "predictions.jsonl")
        metrics |= grounding_metrics(score_keyed(read_annotations(config.annotations), entries))
    return metrics


def stage_times(spent: list[tuple[float, int]]) -> dict[str, float | int | None]:
    """Of (seconds, things) a batch: the first one apart, as warm-up, and the others' milliseconds a thing."""
    (first_s, first_n), later = spent[0], spent[1:]
    each_ms = [1000 * s / max(n, 1) for s, n in later]
    p50, p95 = map(float, np.percentile(each_ms, [50, 95])) if each_ms else (None, None)
    totals = {"count": sum(n for _, n in spent), "total_s": sum(s for s, _ in spent)}
    return {"warmup_s": first_s, "warmup_count": first_n, **totals, "p50_ms": p50, "p95_ms": p95}
