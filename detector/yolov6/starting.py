"""A network from tensors: strictly, its graph told by their shapes, or as the start of a training on other classes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from core.errors import InputError
from detector.yolov6.graph import CHANNELS, Graph
from detector.yolov6.network import YoloV6

PREDICTORS = "detect.cls_preds."  # the tensors whose shapes depend on the number of classes


def graph_of(tensors: Mapping[str, Tensor], where: str | Path) -> Graph:
    """The graph whose tensors these are; InputError when they are of another network."""
    try:
        num_classes = tensors[f"{PREDICTORS}0.weight"].shape[0]
        bins = tensors["detect.proj"].shape[0]
        width = tensors["backbone.ERBlock_6.0.block.conv.weight"].shape[0] / CHANNELS[-1]
    except (KeyError, IndexError) as error:
        raise InputError(f"{where}: holds no YOLOv6-L6: {error} is missing or of another shape") from error
    graph = Graph(num_classes, width, 1.0, bins - 1)
    wanted = [_units(tensors, f"backbone.ERBlock_{number}.1") for number in range(2, 7)]
    for hundredths in sorted(range(1, 201), key=lambda h: h % 25 != 0):  # the roundest that gives these units
        graph = replace(graph, depth=hundredths / 100)
        if [*graph.units, graph.neck_units] == [*wanted, _units(tensors, "neck.Rep_p5")]:
            return graph
    raise InputError(f"{where}: holds no YOLOv6-L6: its stages have {wanted} residual units")


def _units(tensors: Mapping[str, Tensor], block: str) -> int:
    start = f"{block}.m.block."
    return 1 + len({name[len(start) :].split(".")[0] for name in tensors if name.startswith(start)})


def build_yolov6(tensors: Mapping[str, Tensor], graph: Graph, where: str | Path) -> YoloV6:
    """The network with these tensors; InputError names the first that is missing, surplus or of another shape."""
    _check(tensors, graph, where)
    model = YoloV6(graph)
    model.load_state_dict(dict(tensors))
    return model


def start_yolov6(tensors: Mapping[str, Tensor], graph: Graph, where: str | Path) -> YoloV6:
    """A network to train on: as `build_yolov6`, but fresh class predictors where the number of classes differs."""
    found = tensors.get(f"{PREDICTORS}0.weight")
    if found is None or found.shape[0] == graph.num_classes:
        return build_yolov6(tensors, graph, where)
    print(f"{where}: {found.shape[0]} classes instead of {graph.num_classes}: its class predictors are left out")
    model = YoloV6(graph)
    fresh = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(PREDICTORS)}
    kept = {name: tensor for name, tensor in tensors.items() if name not in fresh}
    _check(kept | fresh, graph, where)
    model.load_state_dict(kept | fresh)
    return model


def _check(tensors: Mapping[str, Tensor], graph: Graph, where: str | Path) -> None:
    shapes = YoloV6.shapes(graph)
    for name in [*shapes, *tensors]:
        if name not in tensors:
            raise InputError(f"{where}: tensor {name!r} is missing")
        if name not in shapes:
            raise InputError(f"{where}: tensor {name!r} belongs to no YOLOv6-L6 of this size")
        if tensors[name].shape != shapes[name]:
            raise InputError(
                f"{where}: tensor {name!r}: has shape {tuple(tensors[name].shape)}, not {tuple(shapes[name])}"
            )
