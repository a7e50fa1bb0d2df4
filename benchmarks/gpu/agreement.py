"""What the device and the CPU say of the same weights and inputs: boxes, scores, losses."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.lines import Line
from benchmarks.gpu.pipelines import save_detector
from benchmarks.gpu.scorers import captions_of, make_siglip
from benchmarks.gpu.sizes import Sizes

SAME_IOU, SAME_SHARE, SAME_SCORE, SAME_LOSS = 0.99, 0.99, 0.01, 1e-3


def agreement(sizes: Sizes, device: str) -> list[Line]:
    """Three lines, float32 on both; ratio: the share that agrees."""
    lines = []
    for measure in (boxes, scores, losses):
        try:
            lines += measure(sizes, device)
        except ModuleNotFoundError as error:
            lines.append(Line(f"{measure.__name__}: {device} and cpu", note=f"not run: {error.name} absent"))
    return lines


def boxes(sizes: Sizes, device: str) -> list[Line]:
    """Every box of YOLOv9e before NMS, in the network's order, and its confidence."""
    from core.boxes import iou_matrix
    from detector.inference.torch_network import TorchNetwork

    side = sizes.agreement_side
    inputs = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "detector.pt"
        save_detector(path, sizes.yolov9)
        here, there = (TorchNetwork(path, where).predict(inputs, 0.0)[0] for where in (device, "cpu"))
    same = np.asarray([iou_matrix(a[None], b[None])[0, 0] for a, b in zip(here.boxes_xyxy, there.boxes_xyxy)])  # noqa: B905
    share = float(np.mean(same >= SAME_IOU)) if len(here) == len(there) else 0.0
    apart = float(np.abs(here.confidence - there.confidence).max()) if len(here) == len(there) else 1.0
    return [
        Line(f"boxes: {device} and cpu", f"{100 * share:.2f} % at IoU {SAME_IOU}", f"{len(there)} boxes", share,
             SAME_SHARE),
        _close(f"confidences: {device} and cpu", apart, SAME_SCORE),
    ]  # fmt: skip


def scores(sizes: Sizes, device: str) -> list[Line]:
    """Probabilities of a few crops and captions by SigLIP-L."""
    import torch

    from siglip.model import tokens, unit
    from siglip.train.towers import bind_pair_forward

    captions = captions_of(sizes)[:4]
    model, processor = make_siglip(sizes.siglip["large"], captions)
    bind_pair_forward(model.eval())
    side = sizes.siglip["large"].vision["image_size"]
    pixels = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    length = model.config.text_config.max_position_embeddings
    input_ids = tokens(processor, captions, "{}", length)["input_ids"]
    found = []
    for where in (device, "cpu"):
        with torch.inference_mode():
            image, text, scale, _, _ = model.to(where)(input_ids=input_ids.to(where), pixel_values=pixels.to(where))
            found.append((unit(image) @ unit(text).T * scale).sigmoid().float().cpu())
    return [_close(f"scores: {device} and cpu", float((found[0] - found[1]).abs().max()), SAME_SCORE)]


def losses(sizes: Sizes, device: str) -> list[Line]:
    """The scorer's loss and its gradient, and YOLOv6's losses."""
    import torch

    from siglip.loss.sigmoid import sigmoid_loss

    generator = torch.Generator().manual_seed(0)
    image, text = (torch.nn.functional.normalize(torch.randn(sizes.pairs, 64, generator=generator)) for _ in range(2))
    ids = torch.arange(sizes.pairs) % sizes.captions
    found = []
    for where in (device, "cpu"):
        leaf = image.to(where).requires_grad_()
        scale, bias = (torch.tensor(value, device=where) for value in (10.0, -10.0))
        loss = sigmoid_loss(leaf, text.to(where), scale, bias, ids.to(where))
        (gradient,) = torch.autograd.grad(loss, leaf)
        found.append((float(loss), gradient.cpu()))
    apart = abs(found[0][0] / found[1][0] - 1)
    turned = float((found[0][1] - found[1][1]).norm() / found[1][1].norm())
    six = [_yolov6_loss(sizes, where) for where in (device, "cpu")]
    return [
        _close(f"scorer's loss: {device} and cpu", apart, SAME_LOSS),
        _close(f"scorer's gradient: {device} and cpu", turned, SAME_LOSS),
        _close(f"YOLOv6's loss: {device} and cpu", abs(six[0] / six[1] - 1), SAME_LOSS),
    ]


def _yolov6_loss(sizes: Sizes, where: str) -> float:
    import torch

    from detector.models.yolov6 import YoloV6Model
    from detector.yolov6.graph import Graph
    from detector.yolov6.network import YoloV6

    torch.manual_seed(0)
    side = sizes.agreement_side
    model: Any = YoloV6Model(YoloV6(Graph(num_classes=1, width=0.25, depth=0.1)), side).to(where).eval()
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(where)
    target = torch.tensor([[0.2, 0.2, 0.6, 0.7]], device=where) * side
    with torch.no_grad():
        return float(model(images, [(target, torch.zeros(1, dtype=torch.long, device=where))], 0)["loss"])


def _close(row: str, apart: float, most: float) -> Line:
    """A line that is missed where two numbers lie further apart than they may."""
    return Line(row, f"{apart:.2g} apart", f"at most {most:g}", 1.0 if apart <= most else 0.0, 1.0)
