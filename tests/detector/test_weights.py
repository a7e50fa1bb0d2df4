"""Weights files that are hostile, broken or of another kind: one clear error each, and nothing executed."""

import io
import os
import pickle
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import InputError
from detector.build import build_detector
from detector.settings import DetectorConfig
from detector.weights import find_weights, load_model


class Call:
    """Unpickles by calling a function: what a hostile file does."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.args


def hostile_values(mark: Path) -> list[Any]:
    """Values whose unpickling would leave `mark` behind, by 13 ways; each is put into two kinds of file."""
    import importlib
    import runpy
    import shutil
    import subprocess

    touch = f"touch {mark}"
    code = f"open({str(mark)!r}, 'w').close()"
    return [
        Call(os.system, touch),
        Call(subprocess.call, ["touch", str(mark)]),
        Call(subprocess.check_output, ["touch", str(mark)]),
        Call(subprocess.Popen, ["touch", str(mark)]),
        Call(eval, f"open({str(mark)!r}, 'w')"),
        Call(exec, code),
        Call(open, str(mark), "w"),
        Call(os.mkdir, str(mark)),
        Call(shutil.copy, "/etc/hostname", str(mark)),
        Call(runpy.run_path, str(mark)),
        Call(importlib.import_module, "antigravity_of_nowhere"),
        Call(getattr, Call(importlib.import_module, "os"), "system"),
        {"model": Call(os.system, touch), "train_args": {"imgsz": 64}},
    ]


@pytest.mark.parametrize("number", range(13))
@pytest.mark.parametrize("form", ["zip", "plain"])
def test_hostile_pickles_execute_nothing(tmp_path: Path, number: int, form: str) -> None:
    mark = tmp_path / "executed"
    path = tmp_path / "weights.pt"
    value = hostile_values(mark)[number]
    if form == "zip":
        torch.save(value, path)
    else:
        path.write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(InputError, match=r"weights.pt: not a checkpoint that can be loaded safely") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert not mark.exists()
    assert "antigravity_of_nowhere" not in sys.modules


def test_a_file_that_names_a_missing_package_installs_nothing(tmp_path: Path) -> None:
    """Ultralytics' own loader would pip-install the package that a checkpoint names."""
    path = tmp_path / "weights.pt"
    path.write_bytes(b"\x80\x02cno_such_package_ever\nThing\n)R.")
    with pytest.raises(InputError, match="not a checkpoint"):
        load_model(path)


def test_broken_files_and_other_models_are_named(trained: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    good = trained[0]
    assert load_model(good)[0].task == "detect"
    data = good.read_bytes()
    cases: dict[str, bytes] = {
        "empty.pt": b"",
        "truncated.pt": data[: len(data) // 2],
        "image.pt": b"\x89PNG\r\n\x1a\n" + bytes(200),
        "text.pt": b"not weights at all\n",
        "tensors.pt": saved({"weight": torch.zeros(3)}),
        "number.pt": saved(7),
        "classifier.pt": saved({"model": torch.nn.Sequential(torch.nn.Linear(2, 2)), "train_args": {}}),
        "zip.pt": zipped(),
        "tar.pt": tarred(),
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            load_model(tmp_path / name)


def saved(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("empty"))
    return stream.getvalue()


def test_a_classification_checkpoint_is_refused(tmp_path: Path) -> None:
    from ultralytics.nn.tasks import ClassificationModel

    model = ClassificationModel("yolov8n-cls.yaml", nc=2, verbose=False)
    torch.save({"model": model, "train_args": {"task": "classify"}}, tmp_path / "cls.pt")
    with pytest.raises(InputError, match="holds a classify model, not a detector"):
        load_model(tmp_path / "cls.pt")


def test_missing_weights_without_a_network_say_what_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.weights._is_reachable", lambda host: False)
    with pytest.raises(InputError, match=r"get https://\S+/yolov9e.pt and put it at \S+yolov9e.pt"):
        find_weights("yolov9e")
    with pytest.raises(InputError, match="no such file"):
        find_weights("runs/nowhere/best.pt")
    with pytest.raises(InputError, match="must be given"):
        build_detector(DetectorConfig())


def test_onnx_files_that_are_no_detectors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(np.random.default_rng(0).bytes(500))
    with pytest.raises(InputError, match=r"broken.onnx: not an ONNX model"):
        build_detector(DetectorConfig(weights=str(path)))
    path = tmp_path / "model.engine"
    path.write_bytes(b"")
    with pytest.raises(InputError, match="needs an NVIDIA GPU"):
        build_detector(DetectorConfig(weights=str(path)))
    path = tmp_path / "model.tflite"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"\.pt checkpoint or an \.onnx model"):
        build_detector(DetectorConfig(weights=str(path)))
