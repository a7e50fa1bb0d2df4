"""The four stages at 1520x870 against the published way, with the same random weights, from the same encoded images."""

import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.clock import free, peak_gib, seconds
from benchmarks.gpu.lines import Line
from benchmarks.gpu.scorers import captions_of, make_siglip
from benchmarks.gpu.sizes import Sizes

GOAL = 10.0
BOX_BINS = 2.5  # strides from a cell to each side of its box: 40 px at stride 8, the size of the published targets
PASSING = 300  # boxes above the confidence, of which NMS and max_det leave the crops


def pipeline(sizes: Sizes, device: str) -> list[Line]:
    """Images a second, each stage's share and the peak memory; then the ratio to the published way."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        config = _config(root, sizes, device)
        names = _draw(root / "images", sizes)
        free(device)
        ours_s, shares, crops = _ours(config, root / "images", names, sizes, device)
        held = peak_gib(device)
        free(device)
        theirs_s = _theirs(config, root / "images", names[: sizes.peer_images], sizes, device)
    width, height = sizes.image_hw[::-1]
    row = f"pipeline {width}x{height}, {crops:.1f} crops and {sizes.captions_an_image} captions an image"
    memory = "" if held is None else f", {held:.1f} GiB"
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    return [
        Line(row, f"{1 / ours_s:.2f} images/s{memory}", f"published way {1 / theirs_s:.2f} images/s",
             theirs_s / ours_s, GOAL if sizes.goals else None),
        Line("stages' shares of the time", told),
    ]  # fmt: skip


def _ours(config: Any, images: Path, names: Sequence[str], sizes: Sizes, device: str) -> tuple[float, Any, float]:
    """(seconds an image, each stage's share of them, crops an image) of the server's own batches."""
    from core.files import sha256_bytes
    from pipeline.build import build_pipeline
    from pipeline.server.answering import Answering
    from pipeline.server.limits import Instance

    spent: dict[str, float] = {}
    counts: dict[str, int] = {}

    def on_stage(stage: str, took_s: float, count: int) -> None:
        spent[stage], counts[stage] = spent.get(stage, 0.0) + took_s, counts.get(stage, 0) + count

    built = build_pipeline(config, on_stage)
    captions = captions_of(sizes)[: sizes.captions_an_image]
    data = [(images / name).read_bytes() for name in names]
    requests = [[Instance(c, one, sha256_bytes(one)) for c in captions] for one in data]
    # images are remembered by their bytes: the warm-up's are asked of an object of its own
    Answering(built, sizes.pipeline_batch).answer(requests[: sizes.pipeline_batch])
    spent.clear()
    counts.clear()
    answering = Answering(built, sizes.pipeline_batch)
    took = seconds(lambda: answering.answer(requests), device)
    if counts.get("scorer", 0) < len(names):
        raise RuntimeError("the detector offers less than a crop an image, so the time says nothing")
    shares = {stage: part / took for stage, part in spent.items()}
    return took / len(names), shares | {"the rest": 1 - sum(shares.values())}, counts["scorer"] / len(names)


def _theirs(config: Any, images: Path, names: Sequence[str], sizes: Sizes, device: str) -> float:
    """Seconds an image of the published way."""
    from benchmarks.export import PublishedWay
    from core.values import AnnotatedImage, Annotation

    published = PublishedWay(config)
    captions = captions_of(sizes)[: sizes.captions_an_image]
    asked = [AnnotatedImage(name, tuple(Annotation(c, (0.0, 0.0, 1.0, 1.0)) for c in captions)) for name in names]
    published.answer(asked[:1], images)
    answers: dict[tuple[str, str], Any] = {}
    took = seconds(lambda: answers.update(published.answer(asked, images)), device)
    empty = next((image for (image, _), box in answers.items() if not np.any(box)), None)
    if empty is not None:
        raise RuntimeError(f"the published way found no box in {empty}, so its time says nothing")
    return took / len(names)


def _draw(folder: Path, sizes: Sizes) -> list[str]:
    """Images of coarse noise, encoded as JPEG."""
    import cv2

    folder.mkdir()
    rng = np.random.default_rng(0)
    height, width = sizes.image_hw
    names = [f"{i:03d}.jpg" for i in range(sizes.pipeline_images)]
    for name in names:
        coarse = rng.integers(0, 256, (-(-height // 10), -(-width // 10), 3), dtype=np.uint8)
        image = np.kron(coarse, np.ones((10, 10, 1), np.uint8))[:height, :width]
        cv2.imwrite(str(folder / name), image)
    return names


def _config(root: Path, sizes: Sizes, device: str) -> Any:
    """The settings of a pipeline of random weights, whose detector offers the wanted number of crops."""
    from detector.settings import DetectorConfig
    from pipeline.settings import PipelineConfig
    from siglip.settings import Precision as ScorerPrecision
    from siglip.settings import ScorerConfig
    from upscale.settings import Precision as UpscalerPrecision
    from upscale.settings import UpscalerConfig

    on_gpu = device != "cpu"
    detector, upscaler, scorer = root / "detector.pt", root / "upscaler.safetensors", root / "scorer"
    save_detector(detector, sizes.yolov9)
    _save_upscaler(upscaler, *sizes.upscaler)
    config = PipelineConfig(
        detector=DetectorConfig(weights=str(detector), imgsz=list(sizes.pipeline_imgsz), half=on_gpu,
                                batch=sizes.pipeline_batch),
        upscaler=UpscalerConfig(
            weights=str(upscaler), precision=UpscalerPrecision.float16 if on_gpu else UpscalerPrecision.float32
        ),
        scorer=ScorerConfig(
            weights=str(scorer), precision=ScorerPrecision.bfloat16 if on_gpu else ScorerPrecision.float32,
            any_policy=True,
        ),
        max_det=sizes.crops_an_image, nms_iou=0.5, device=device,
    )  # fmt: skip
    _save_scorer(scorer, sizes, device)
    config.confidence = _confidence(config, sizes)
    return config


def _confidence(config: Any, sizes: Sizes) -> float:
    """The confidence that about `PASSING` boxes of noise pass."""
    from detector.build import build_detector

    height, width = sizes.image_hw
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = build_detector(config.detector, config.device).propose([image])[0][0].candidates.confidence
    return float(np.sort(found)[-min(PASSING, len(found))])


def save_detector(path: Path, description: str) -> None:
    """An Ultralytics checkpoint of random weights whose boxes are of the targets' size and differ in confidence."""
    importlib.import_module("detector.environment")  # before ultralytics
    import torch
    from ultralytics import YOLO

    torch.manual_seed(0)
    model = YOLO(description, verbose=False)
    head = model.model.model[-1]
    for level, (box, confidence) in enumerate(zip(head.cv2, head.cv3, strict=True)):
        bins = torch.arange(head.reg_max, dtype=torch.float)
        torch.nn.init.zeros_(box[-1].weight)
        box[-1].bias.data = (-4 * (bins - BOX_BINS).abs()).repeat(4)
        torch.nn.init.normal_(confidence[-1].weight, std=1.0)
        torch.nn.init.constant_(confidence[-1].bias, -1.0 if level == 0 else -4.0)
    model.save(str(path))


def _save_upscaler(path: Path, features: int, convolutions: int) -> None:
    """A Real-ESRGAN Compact network of random weights, four times as large."""
    import torch
    from safetensors.torch import save_file
    from spandrel.architectures.Compact import Compact  # noqa: F401  (registers the architecture)
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    torch.manual_seed(0)
    save_file(SRVGGNetCompact(num_feat=features, num_conv=convolutions, upscale=4).state_dict(), path)


def _save_scorer(folder: Path, sizes: Sizes, device: str) -> None:
    from siglip.model import save_checkpoint

    model, processor = make_siglip(sizes.siglip["large"], captions_of(sizes), device)
    save_checkpoint(folder, model, processor, {"template": "{}"})
