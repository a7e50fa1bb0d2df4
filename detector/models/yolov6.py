"""YOLOv6 as a detector of ours."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from core.errors import InputError
from core.files import write_json
from detector.models.model import Model, Targets
from detector.yolov6.graph import STRIDES, Graph
from detector.yolov6.losses import detection_loss
from detector.yolov6.network import YoloV6
from detector.yolov6.starting import build_yolov6

MODEL_TYPE = "yolov6"
PUBLISHED_SIZE = 1280  # px, of Meituan's P6 weights, whose files do not say it


class YoloV6Model(Model):
    """The network, its size, and for how many epochs ATSS assigns before task alignment does."""

    def __init__(self, network: YoloV6, imgsz: int | tuple[int, int], atss_epochs: int = 4) -> None:
        super().__init__()
        self.network = network
        self.stride, self.imgsz, self.atss_epochs = STRIDES[-1], imgsz, atss_epochs
        self.num_classes = network.graph.num_classes

    def detect(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """See Model."""
        raw = self.network.raw(images_BCHW)
        return self.network.boxes_xyxy(raw), raw.logits_BNK.sigmoid().amax(-1)

    def losses(self, images_BCHW: Tensor, targets: Targets, epoch: int) -> dict[str, Tensor]:
        """See Model."""
        raw = self.network.raw(images_BCHW)
        return detection_loss(raw, self.network.boxes_xyxy(raw), targets, aligned=epoch >= self.atss_epochs)

    def write(self, folder: Path) -> None:
        """See Model; the names in model.safetensors are Meituan's."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.contiguous().cpu() for name, tensor in self.network.state_dict().items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        size = list(self.imgsz) if isinstance(self.imgsz, tuple) else self.imgsz
        write_json(folder / "config.json", {"model_type": MODEL_TYPE, **asdict(self.network.graph), "imgsz": size})


def read_graph(values: dict[str, Any], where: Path) -> Graph:
    """The graph of a config.json or a model description; InputError names a wrong field."""
    known: dict[str, Any] = {"num_classes": int, "width": float, "depth": float, "reg_max": int}
    stranger = next((k for k in values if k not in {*known, "model_type", "imgsz"}), None)
    if stranger is not None:
        raise InputError(f"{where}: field {stranger!r}: YOLOv6 has {', '.join(known)}")
    given: dict[str, Any] = {}
    for name, kind in known.items():
        value = values.get(name, getattr(Graph(), name))
        if isinstance(value, bool) or not isinstance(value, int | kind) or not 0 < value <= 4096:
            raise InputError(f"{where}: field {name!r}: {value!r} is no {kind.__name__} above 0")
        given[name] = kind(value)
    return Graph(**given)


def open_yolov6(folder: Path, values: dict[str, Any], imgsz: int | tuple[int, int]) -> YoloV6Model:
    """The model of a folder that `write` made; InputError when its tensors are others."""
    from detector.models.folder import read_tensors

    graph = read_graph(values, folder / "config.json")
    return YoloV6Model(build_yolov6(read_tensors(folder), graph, folder / "model.safetensors"), imgsz)
