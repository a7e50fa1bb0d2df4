"""The network: backbone, neck and head, with the names and shapes of Meituan's own tensors.

B images, N cells of all four levels (strides 8 to 64 in that order, row-major within a level), K classes, R bins a
side.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from detector.yolov6.blocks import Block, CrossStage, Fusion, Pooling
from detector.yolov6.graph import STRIDES, Graph

PRIOR = 0.01  # the confidence that an untrained head gives to every cell


class Raw(NamedTuple):
    """What the head says, before it is made into boxes."""

    logits_BNK: Tensor
    bins_BNSR: Tensor  # S: left, top, right, bottom
    centres_N2: Tensor  # x, y of each cell's centre in pixels
    strides_N: Tensor


class Backbone(nn.Module):
    """Stem and five stages, each of half the size of the one before."""

    def __init__(self, graph: Graph):
        super().__init__()
        stem, *channels = graph.channels
        self.stem = Block(3, stem, 3, 2)
        for number, (inputs, outputs, units) in enumerate(zip(graph.channels, channels, graph.units, strict=False), 2):
            parts: list[nn.Module] = [Block(inputs, outputs, 3, 2), CrossStage(outputs, outputs, units)]
            if number == 6:
                parts.append(Pooling(outputs))
            setattr(self, f"ERBlock_{number}", nn.Sequential(*parts))

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> the levels P2 to P6."""
        levels, x = [], self.stem(x_BCHW)
        for number in range(2, 7):
            x = getattr(self, f"ERBlock_{number}")(x)
            levels.append(x)
        return levels


class Neck(nn.Module):
    """Up from P6 with three fusions, then down again: four outputs, strides 8 to 64."""

    def __init__(self, graph: Graph):
        super().__init__()
        _, p2, p3, p4, p5, p6 = graph.channels
        up0, up1, up2, down2, down1, down0 = graph.neck_channels
        units = graph.neck_units
        self.reduce_layer0 = Block(p6, up0, act=nn.ReLU)
        self.Bifusion0 = Fusion(p5, p4, up0)
        self.Rep_p5 = CrossStage(up0, up0, units)
        self.reduce_layer1 = Block(up0, up1, act=nn.ReLU)
        self.Bifusion1 = Fusion(p4, p3, up1)
        self.Rep_p4 = CrossStage(up1, up1, units)
        self.reduce_layer2 = Block(up1, up2, act=nn.ReLU)
        self.Bifusion2 = Fusion(p3, p2, up2)
        self.Rep_p3 = CrossStage(up2, up2, units)
        self.downsample2 = Block(up2, up2, 3, 2, act=nn.ReLU)
        self.Rep_n4 = CrossStage(2 * up2, down2, units)
        self.downsample1 = Block(down2, down2, 3, 2, act=nn.ReLU)
        self.Rep_n5 = CrossStage(down2 + up1, down1, units)
        self.downsample0 = Block(down1, down1, 3, 2, act=nn.ReLU)
        self.Rep_n6 = CrossStage(down1 + up0, down0, units)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """The levels P2 to P6 -> the four that the head reads."""
        p2, p3, p4, p5, p6 = levels
        reduced0 = self.reduce_layer0(p6)
        reduced1 = self.reduce_layer1(self.Rep_p5(self.Bifusion0(reduced0, p5, p4)))
        reduced2 = self.reduce_layer2(self.Rep_p4(self.Bifusion1(reduced1, p4, p3)))
        out3 = self.Rep_p3(self.Bifusion2(reduced2, p3, p2))
        out4 = self.Rep_n4(torch.cat([self.downsample2(out3), reduced2], 1))
        out5 = self.Rep_n5(torch.cat([self.downsample1(out4), reduced1], 1))
        out6 = self.Rep_n6(torch.cat([self.downsample0(out5), reduced0], 1))
        return [out3, out4, out5, out6]


class Head(nn.Module):
    """Per level a stem, then a branch for classes and one for the distribution of each side's distance."""

    def __init__(self, graph: Graph):
        super().__init__()
        widths = graph.neck_channels[2:]
        self.bins = graph.reg_max + 1
        self.proj = nn.Parameter(torch.arange(self.bins, dtype=torch.float), requires_grad=False)
        self.proj_conv = nn.Conv2d(self.bins, 1, 1, bias=False)  # the same numbers; kept for the checkpoints' sake
        self.proj_conv.weight = nn.Parameter(self.proj.detach().clone().view(1, -1, 1, 1), requires_grad=False)
        self.stems = nn.ModuleList(Block(width, width) for width in widths)
        self.cls_convs = nn.ModuleList(Block(width, width, 3) for width in widths)
        self.reg_convs = nn.ModuleList(Block(width, width, 3) for width in widths)
        self.cls_preds = nn.ModuleList(nn.Conv2d(width, graph.num_classes, 1) for width in widths)
        self.reg_preds = nn.ModuleList(nn.Conv2d(width, 4 * self.bins, 1) for width in widths)
        for cls_pred, reg_pred in zip(self.cls_preds, self.reg_preds, strict=True):
            nn.init.zeros_(cls_pred.weight)
            nn.init.constant_(cls_pred.bias, -math.log((1 - PRIOR) / PRIOR))
            nn.init.zeros_(reg_pred.weight)
            nn.init.ones_(reg_pred.bias)

    def forward(self, levels: Sequence[Tensor]) -> Raw:
        """The neck's four levels -> logits and bins of every cell."""
        logits, bins, centres, strides = [], [], [], []
        for i, (level, stride) in enumerate(zip(levels, STRIDES, strict=True)):
            x = self.stems[i](level)
            logits.append(self.cls_preds[i](self.cls_convs[i](x)).flatten(2).transpose(1, 2))
            bins.append(self.reg_preds[i](self.reg_convs[i](x)).flatten(2).transpose(1, 2))
            centres.append(cell_centres(x.shape[2], x.shape[3], stride, x))
            strides.append(torch.full((x.shape[2] * x.shape[3],), float(stride), dtype=x.dtype, device=x.device))
        bins_BNSR = torch.cat(bins, 1).unflatten(2, (4, self.bins))
        return Raw(torch.cat(logits, 1), bins_BNSR, torch.cat(centres), torch.cat(strides))


class YoloV6(nn.Module):
    """YOLOv6-L6, or a smaller network of its graph.

    Source of the graph: github.com/meituan/YOLOv6, release 4.0, `yolov6l6_finetune`, as its tensors' names and shapes
    tell it; none of its code was read. The sides of the input are multiples of 64.
    """

    def __init__(self, graph: Graph):
        super().__init__()
        self.graph = graph
        self.backbone = Backbone(graph)
        self.neck = Neck(graph)
        self.detect = Head(graph)

    @staticmethod
    def shapes(graph: Graph) -> dict[str, torch.Size]:
        """Name and shape of every tensor of that network, without building it."""
        with torch.device("meta"):
            return {name: tensor.shape for name, tensor in YoloV6(graph).state_dict().items()}

    def raw(self, images_BCHW: Tensor) -> Raw:
        """(B, 3, H, W) RGB in 0..1 -> what the head says of every cell, for losses."""
        out: Raw = self.detect(self.neck(self.backbone(images_BCHW)))
        return out

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..1 -> (B, N, 5 + K): centre x, centre y, width, height in pixels, 1, confidences."""
        raw = self.raw(images_BCHW)
        boxes = self.boxes_xyxy(raw)
        centre, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
        return torch.cat([centre, size, torch.ones_like(centre[..., :1]), raw.logits_BNK.sigmoid()], -1)

    def boxes_xyxy(self, raw: Raw) -> Tensor:
        """(B, N, 4) boxes in pixels: each side as far from its cell's centre as its distribution's mean."""
        distances = raw.bins_BNSR.softmax(-1) @ self.detect.proj * raw.strides_N[:, None]
        return torch.cat([raw.centres_N2 - distances[..., :2], raw.centres_N2 + distances[..., 2:]], -1)


def cell_centres(height: int, width: int, stride: int, like: Tensor) -> Tensor:
    """(height * width, 2) x, y of the centres of a level's cells in pixels, row-major; dtype and device of `like`."""
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) * stride
    x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) * stride
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([grid_x, grid_y], -1).reshape(-1, 2)
