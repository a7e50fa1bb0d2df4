"""The network has the names, shapes and outputs of Meituan's own, with one class and with eighty."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from detector.yolov6.graph import STRIDES, Graph
from detector.yolov6.network import YoloV6


def drawn(name: str, shape: tuple[int, ...], normal: bool = True) -> np.ndarray:
    """The reference's rule: numbers that depend on the tensor's name alone."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    return rng.standard_normal(shape) if normal else rng.random(shape)


def fill(model: torch.nn.Module) -> None:
    """Give every tensor the numbers of the reference's rule."""
    for name, tensor in model.state_dict().items():
        if name.endswith(("num_batches_tracked", "proj", "proj_conv.weight")):
            continue
        n = drawn(name, tuple(tensor.shape))
        if name.endswith("running_var"):
            n = 1 + 0.1 * np.abs(n)
        elif tensor.ndim == 4:
            n = 1.7 * n / np.sqrt(np.prod(tensor.shape[1:]))
        elif tensor.ndim == 1 and name.endswith("weight"):
            n = 1 + 0.1 * n
        else:
            n = 0.1 * n
        tensor.copy_(torch.from_numpy(n))


def test_names_shapes_and_outputs_are_meituans(reference_dir: Path) -> None:
    """The six columns that the reference holds are those of the first class, so one network serves both lists."""
    folder = reference_dir / "yolov6l6"
    outputs = json.loads((folder / "outputs.json").read_text())
    for num_classes, list_name in ((1, "one_class"), (80, "80_classes")):
        with torch.device("meta"):
            bare = YoloV6(Graph(num_classes=num_classes))
        lines = (folder / f"parameters_{list_name}.tsv").read_text().split("\n")[:-1]
        assert [f"{n}\t{'x'.join(map(str, t.shape))}" for n, t in bare.state_dict().items()] == lines
        assert sum(p.numel() for p in bare.parameters()) == outputs[str(num_classes)]["num_parameters"]
    model = YoloV6(Graph()).double().eval()
    with torch.no_grad():
        fill(model)
        out = model(torch.from_numpy(drawn("input", (1, 3, 128, 192), normal=False)))
    assert list(out.shape) == outputs["80"]["shape"]
    rows = out[0, :, :6].numpy()
    starts = np.cumsum([0, *(128 * 192 // s**2 for s in STRIDES)])
    for wanted in outputs.values():
        for start, stride in zip(starts, STRIDES, strict=False):
            np.testing.assert_allclose(rows[start], wanted["first_row_of_each_stride"][str(stride)], rtol=1e-9)
        np.testing.assert_allclose(np.abs(rows).mean(0), wanted["mean_abs_of_columns"], rtol=1e-9)
        np.testing.assert_allclose(rows.std(0, ddof=1), wanted["std_of_columns"], rtol=1e-9)


@pytest.mark.parametrize(("width", "depth", "units"), [(0.0625, 0.1, (1, 1, 1, 1, 1)), (0.25, 0.5, (2, 3, 4, 2, 2))])
def test_a_smaller_network_is_of_the_same_graph(width: float, depth: float, units: tuple[int, ...]) -> None:
    graph = Graph(num_classes=1, width=width, depth=depth)
    assert graph.units == units
    model = YoloV6(graph).eval()
    full = {n for n in YoloV6.shapes(Graph(num_classes=1)) if ".m.block." not in n}
    assert full == {n for n in model.state_dict() if ".m.block." not in n}
    out = model(torch.rand(2, 3, 64, 128))
    assert out.shape == (2, 8 * 16 + 4 * 8 + 2 * 4 + 2, 6)
    np.testing.assert_allclose(out[..., 5].detach(), 0.01, rtol=1e-5)  # as it begins: every cell equally unsure
    # All bins are equally likely, so each side lies reg_max / 2 strides away.
    np.testing.assert_allclose(out[0, :128, 2].detach(), 16 * 8, rtol=1e-5)
