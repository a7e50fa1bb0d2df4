"""A pickled network is read without its package and without running anything; hostile and broken files are refused."""

import copy
import io
import os
import pickle
import subprocess
import sys
import types
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import InputError
from detector.yolov6 import blocks, network
from detector.yolov6.graph import Graph
from detector.yolov6.network import YoloV6
from detector.yolov6.pickled import names_yolov6, read_pickled
from detector.yolov6.starting import build_yolov6, graph_of, start_yolov6

TINY = Graph(num_classes=3, width=0.0625, depth=0.2)


@contextmanager
def foreign_package() -> Iterator[None]:
    """Our layers' classes as if they were a package's that is not installed here."""
    classes = [
        c for m in (blocks, network) for c in vars(m).values() if isinstance(c, type) and c.__module__ == m.__name__
    ]
    ours = {c: c.__module__ for c in classes}
    modules = {name: types.ModuleType(name) for name in ("yolov6", "yolov6.models", "yolov6.models.yolo")}
    for c in ours:
        c.__module__ = "yolov6.models.yolo"
        setattr(modules["yolov6.models.yolo"], c.__name__, c)
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
        for c, name in ours.items():
            c.__module__ = name


def write(path: Path, model: torch.nn.Module, ema: torch.nn.Module | None = None, **more: Any) -> Path:
    """What Meituan's trainer writes: whole modules in half precision, an optimizer's state, numbers of numpy."""
    value = {
        "model": copy.deepcopy(model).half(),
        "ema": None if ema is None else copy.deepcopy(ema).half(),
        "updates": 7, "epoch": 3, "results": (np.float64(0.5), 0.25),
        "optimizer": torch.optim.SGD(model.parameters(), 0.1, momentum=0.9).state_dict(), **more,
    }  # fmt: skip
    del value["model"].graph  # of ours alone
    if value["ema"] is not None:
        del value["ema"].graph
    with foreign_package():
        torch.save(value, path)
    return path


def noisy(seed: int) -> YoloV6:
    torch.manual_seed(seed)
    model = YoloV6(TINY)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(torch.randn_like(p) * 0.1)
    model.train()(torch.rand(2, 3, 64, 64))  # running statistics that differ from a fresh network's
    return model.eval()


def test_a_pickled_network_gives_its_tensors_without_its_package(tmp_path: Path) -> None:
    model, ema = noisy(0), noisy(1)
    assert "yolov6" not in sys.modules
    for path, wanted in ((write(tmp_path / "a.pt", model), model), (write(tmp_path / "b.pt", model, ema), ema)):
        assert names_yolov6(path)
        tensors = read_pickled(path)
        expected = {n: t.half().float() if t.is_floating_point() else t for n, t in wanted.state_dict().items()}
        assert set(tensors) == set(expected)
        assert all(torch.equal(tensors[n], t) for n, t in expected.items())
        graph = graph_of(tensors, path)
        assert (graph.units, graph.channels, graph.num_classes) == (TINY.units, TINY.channels, 3)
        built, image = build_yolov6(tensors, graph, path).eval(), torch.rand(1, 3, 64, 64)
        wanted.load_state_dict(expected)
        assert torch.equal(built(image), wanted(image))
    assert "yolov6" not in sys.modules


def test_class_predictors_are_left_out_where_classes_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = read_pickled(write(tmp_path / "a.pt", noisy(0)))
    one = start_yolov6(tensors, Graph(1, TINY.width, TINY.depth), "a.pt").state_dict()
    assert "3 classes instead of 1" in capsys.readouterr().out
    assert one["detect.cls_preds.0.weight"].shape[0] == 1
    assert not one["detect.cls_preds.0.weight"].any()
    assert all(torch.equal(one[n], t) for n, t in tensors.items() if "cls_preds" not in n)
    same = start_yolov6(tensors, TINY, "a.pt").state_dict()
    assert all(torch.equal(same[n], t) for n, t in tensors.items())


def test_tensors_of_another_network_are_named() -> None:
    good = YoloV6(TINY).state_dict()
    name = "neck.Rep_p4.cv1.block.conv.weight"
    for change, message in (
        ({k: v for k, v in good.items() if k != name}, f"x.pt: tensor '{name}' is missing"),
        (good | {"detect.extra": torch.zeros(1)}, "tensor 'detect.extra' belongs to no YOLOv6-L6"),
        (good | {name: torch.zeros(2, 2)}, r"Rep_p4.cv1.block.conv.weight': has shape \(2, 2\), not"),
    ):
        with pytest.raises(InputError, match=message):
            build_yolov6(change, TINY, "x.pt")
    with pytest.raises(InputError, match="holds no YOLOv6-L6"):
        graph_of({"weight": torch.zeros(1)}, "x.pt")


class Call:
    """Unpickles by calling a function: what a hostile file does."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.args


def test_hostile_files_are_refused_and_nothing_runs(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    calls = [
        Call(os.system, f"touch {mark}"), Call(subprocess.call, ["touch", str(mark)]), Call(open, str(mark), "w"),
        Call(eval, f"open({str(mark)!r}, 'w')"), Call(exec, f"open({str(mark)!r}, 'w')"), Call(os.mkdir, str(mark)),
        Call(getattr, Call(__import__, "os"), "system"), Call(torch.load, str(mark)),
        Call(__import__, "antigravity_of_nowhere"),
    ]  # fmt: skip
    model = noisy(0)
    for call in calls:
        path = write(tmp_path / "hostile.pt", model, results=call)
        with pytest.raises(InputError, match=r"hostile.pt: not a checkpoint that can be loaded safely: .*it names"):
            read_pickled(path)
    assert not mark.exists()
    assert "antigravity_of_nowhere" not in sys.modules


def rewritten(path: Path, change: Any) -> Path:
    """The archive with its pickle changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(name, change(data) if name.endswith("data.pkl") else data)
    return path


def test_broken_files_are_named(tmp_path: Path) -> None:
    good = write(tmp_path / "good.pt", noisy(0))
    data = good.read_bytes()
    flipped = bytearray(data)
    flipped[data.index(b"data/0") + 200] ^= 1
    cases = {"empty.pt": b"", "truncated.pt": data[: len(data) // 2], "text.pt": b"no weights", "flipped.pt": flipped}
    stream = io.BytesIO()
    torch.save({"model": {"weight": torch.zeros(3)}}, stream)
    cases["tensors.pt"] = stream.getvalue()
    cases["plain.pt"] = pickle.dumps({"model": None}, protocol=2)
    for name, content in cases.items():
        (tmp_path / name).write_bytes(bytes(content))
        with pytest.raises(InputError, match=name) as caught:
            read_pickled(tmp_path / name)
        assert "\n" not in str(caught.value)
    # A network that contains itself, and a tensor larger than its numbers.
    loop = torch.nn.Sequential(torch.nn.Linear(1, 1))
    loop._modules["1"] = loop
    stream = io.BytesIO()
    torch.save({"model": loop}, stream)
    (tmp_path / "loop.pt").write_bytes(stream.getvalue())
    with pytest.raises(InputError, match=r"loop.pt: holds a network of more than"):
        read_pickled(tmp_path / "loop.pt")
    wide = torch.nn.Module()
    wide.weight = torch.nn.Parameter(torch.zeros(1).expand(1000, 1000))
    torch.save({"model": wide}, tmp_path / "wide.pt")
    with pytest.raises(InputError, match=r"wide.pt: .* has 1 numbers"):
        read_pickled(tmp_path / "wide.pt")
    with zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"yolov6." + bytes(10**6))
    with pytest.raises(InputError, match=r"packed.pt: .*its entry x/data.pkl is compressed"):
        read_pickled(tmp_path / "packed.pt")
    assert not names_yolov6(tmp_path / "packed.pt")
    rewritten(good, lambda pickled: pickled[: len(pickled) // 2])
    with pytest.raises(InputError, match=r"good.pt: not a checkpoint"):
        read_pickled(good)
