"""Open a detector of ours from wherever it lies: a folder, or one of Meituan's pickled files."""

from pathlib import Path

from core.errors import InputError
from core.files import sha256_file
from detector.models.folder import digest_folder, read_config, read_size
from detector.models.model import Model


def is_ours(path: Path) -> bool:
    """Whether these weights are opened here: a folder, or a pickled YOLOv6; anything else is Ultralytics' or ONNX."""
    if path.is_dir():
        return True
    if path.suffix != ".pt":
        return False
    from detector.yolov6.pickled import names_yolov6

    return names_yolov6(path)


def open_model(path: Path) -> tuple[Model, str]:
    """The model, on the CPU in float32, and the SHA-256 of what it was made from. Raises InputError."""
    if path.is_dir():
        return _open_folder(path), digest_folder(path)
    from detector.models.yolov6 import PUBLISHED_SIZE, YoloV6Model
    from detector.yolov6.pickled import read_pickled
    from detector.yolov6.starting import build_yolov6, graph_of

    tensors = read_pickled(path)
    network = build_yolov6(tensors, graph_of(tensors, path), path)
    return YoloV6Model(network, PUBLISHED_SIZE), sha256_file(path)


def _open_folder(folder: Path) -> Model:
    from detector.models.detr import KINDS, open_detr
    from detector.models.yolov6 import MODEL_TYPE, PUBLISHED_SIZE, open_yolov6

    values = read_config(folder)
    kind = values["model_type"]
    if kind == MODEL_TYPE:
        size = read_size(values.get("imgsz", PUBLISHED_SIZE), f"{folder / 'config.json'}: field 'imgsz'")
        return open_yolov6(folder, values, size)
    if kind in KINDS:
        return open_detr(folder, kind)
    raise InputError(
        f"{folder / 'config.json'}: field 'model_type': {kind!r} is none of {', '.join([MODEL_TYPE, *KINDS])}"
    )
