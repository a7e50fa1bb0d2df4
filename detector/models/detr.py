"""transformers' detectors of the DETR kind as detectors of ours."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import InputError, reason
from core.files import read_json, write_json
from detector.models.folder import read_size
from detector.models.model import Model, Targets

KINDS = ("rt_detr", "rt_detr_v2", "d_fine", "deimv2", "lw_detr", "rf_detr")
TRAINABLE = ("rt_detr", "rt_detr_v2", "d_fine", "deimv2")  # with what transformers trains them on
PROCESSOR = "preprocessor_config.json"
_NORMALISED = ("lw_detr", "rf_detr")  # whose own processors do, unless their folder says otherwise
_CONSTANTS = ("decoder.up", "decoder.reg_scale")  # of D-FINE and DEIMv2: fixed when built, but loading forgets that
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DetrModel(Model):
    """A model of transformers with what its processor does to the pixels.

    Images are letterboxed as for every detector here, where transformers' processors stretch them to a square.
    """

    def __init__(self, detr: Any, processor: dict[str, Any], imgsz: int | tuple[int, int]) -> None:
        super().__init__()
        self.detr = detr
        self.kind: str = detr.config.model_type
        self.imgsz, self.stride = imgsz, _stride(detr.config)
        self.num_classes = int(detr.config.num_labels)
        self._processor = processor
        normalise = bool(processor.get("do_normalize", self.kind in _NORMALISED))
        mean, std = (processor.get(f"image_{n}") or v for n, v in (("mean", _MEAN), ("std", _STD)))
        self.register_buffer("_mean", torch.tensor(mean if normalise else [0.0] * 3).view(3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(std if normalise else [1.0] * 3).view(3, 1, 1), persistent=False)

    def _pixels(self, images_BCHW: Tensor) -> Tensor:
        return (images_BCHW - self._mean) / self._std

    def detect(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """See Model; every query is a box, in the network's own order."""
        out = self.detr(pixel_values=self._pixels(images_BCHW))
        height, width = images_BCHW.shape[-2:]
        centre, size = out.pred_boxes[..., :2], out.pred_boxes[..., 2:]
        scale = torch.tensor([width, height, width, height], dtype=centre.dtype, device=centre.device)
        boxes = torch.cat([centre - size / 2, centre + size / 2], -1) * scale
        return boxes, out.logits.sigmoid().amax(-1)

    def losses(self, images_BCHW: Tensor, targets: Targets, epoch: int) -> dict[str, Tensor]:
        """See Model; what transformers trains this kind on, with Hungarian matching."""
        height, width = images_BCHW.shape[-2:]
        labels = []
        for boxes, classes in targets:
            scaled = boxes / boxes.new_tensor([width, height, width, height])
            centre, size = (scaled[:, :2] + scaled[:, 2:]) / 2, scaled[:, 2:] - scaled[:, :2]
            labels.append({"class_labels": classes, "boxes": torch.cat([centre, size], 1)})
        out = self.detr(pixel_values=self._pixels(images_BCHW), labels=labels)
        parts = {n: v for n, v in out.loss_dict.items() if "_aux" not in n and "_dn" not in n and v.ndim == 0}
        return {"loss": out.loss, **parts}

    def prepare_export(self, shape_hw: tuple[int, int]) -> None:
        """RF-DETR resizes its position embeddings by a step that ONNX lacks: they are fixed for this shape."""
        for part in self.modules():
            if self.kind == "rf_detr" and hasattr(part, "interpolate_pos_encoding"):
                patch = self.detr.config.backbone_config.patch_size
                num = (shape_hw[0] // patch) * (shape_hw[1] // patch) + 1
                like = part.position_embeddings.new_zeros(1, num, part.position_embeddings.shape[-1])
                with torch.no_grad():
                    fixed = part.interpolate_pos_encoding(like, *shape_hw).clone()
                part.interpolate_pos_encoding = lambda *_, fixed=fixed: fixed  # type: ignore[assignment]

    def write(self, folder: Path) -> None:
        """See Model; the folder opens in transformers too."""
        self.detr.save_pretrained(folder)
        height, width = self.imgsz if isinstance(self.imgsz, tuple) else (self.imgsz, self.imgsz)
        named = {"image_processor_type": "RTDetrImageProcessor", "do_normalize": self.kind in _NORMALISED}
        write_json(folder / PROCESSOR, {**named, **self._processor, "size": {"height": height, "width": width}})


def open_detr(folder: Path, kind: str, num_classes: int | None = None) -> DetrModel:
    """The model of a transformers folder; InputError when it cannot be opened or lacks tensors.

    num_classes: for a training on so many; layers whose shape depends on it begin anew where the folder has others.
    """
    from transformers import AutoModelForObjectDetection

    path = folder / PROCESSOR
    processor = read_json(path) if path.is_file() else {}
    anew: dict[str, Any] = {} if num_classes is None else {"num_labels": num_classes, "ignore_mismatched_sizes": True}
    try:
        detr, told = AutoModelForObjectDetection.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True,
            dtype=torch.float32, **anew,
        )  # fmt: skip
    except Exception as error:  # transformers raises anything from OSError to its own validation errors
        raise InputError(f"{folder}: not a {kind} that transformers can open: {reason(error)[:200]}") from error
    lacking = sorted(told["missing_keys"]) or [str(key) for key in told["mismatched_keys"] if not anew]
    if lacking:
        raise InputError(f"{folder}: tensor {lacking[0]!r} is missing or of another shape; {len(lacking)} are")
    for name, parameter in detr.named_parameters():
        if name.endswith(_CONSTANTS):
            parameter.requires_grad_(False)
    return DetrModel(detr.eval(), processor, _size(processor, detr.config, path))


def build_detr(values: dict[str, Any], where: Path, imgsz: int | tuple[int, int]) -> DetrModel:
    """A model with random weights from its configuration's values; InputError when transformers refuses one."""
    from transformers import AutoConfig, AutoModelForObjectDetection

    values = dict(values)
    kind = values.pop("model_type")
    try:
        detr = AutoModelForObjectDetection.from_config(AutoConfig.for_model(kind, **values))
    except Exception as error:  # each configuration validates in its own way
        raise InputError(f"{where}: not a {kind} that transformers can build: {reason(error)[:200]}") from error
    return DetrModel(detr, {}, imgsz)


def _size(processor: dict[str, Any], config: Any, path: Path) -> int | tuple[int, int]:
    size = processor.get("size") or {}
    if {"height", "width"} <= set(size):
        height, width = read_size([size["height"], size["width"]], f"{path}: field 'size'")  # type: ignore[misc]
        return height if height == width else (height, width)
    backbone = getattr(config, "backbone_config", None)
    return read_size(getattr(backbone, "image_size", None) or size.get("longest_edge") or 640, f"{path}: field 'size'")


def _stride(config: Any) -> int:
    """What the sides of the input must be multiples of: the coarsest level's stride, or a window's worth of patches."""
    backbone = config.backbone_config
    patch = getattr(backbone, "patch_size", None)
    if config.model_type in _NORMALISED and patch:
        windows = int(backbone.num_windows**0.5) if config.model_type == "lw_detr" else int(backbone.num_windows)
        return int(patch) * windows
    return max(32, *(int(stride) for stride in config.feat_strides))
