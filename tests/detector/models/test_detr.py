"""transformers' detectors as members: their own boxes, slices, views, ensembles, ONNX, what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import InputError
from core.runs import RunFolder
from core.values import Candidates
from detector.build import build_detector
from detector.export import run as export
from detector.export.settings import ExportConfig
from detector.inference.onnx_network import OnnxNetwork
from detector.models.detr import KINDS, DetrModel
from detector.models.opening import open_model
from detector.settings import DetectorConfig, MemberConfig, SliceConfig, SliceMode
from detector.weights import find_weights


def image(seed: int = 0, height: int = 128, width: int = 128) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def written(model: Any, folder: Path, **more: Any) -> Path:
    model.save_pretrained(folder)
    values = {"size": {"height": 128, "width": 128}, **more}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return folder


def rows(candidates: Candidates) -> np.ndarray:
    """Boxes and confidences, in an order of their own: where confidences tie, the network's order says nothing."""
    table = np.concatenate([candidates.boxes_xyxy, candidates.confidence[:, None]], 1)
    return table[np.lexsort(table.T.round(2))]


@pytest.mark.parametrize("kind", KINDS)
def test_candidates_are_transformers_own(kind: str, tiny_detr: Callable, tmp_path: Path) -> None:
    """An image of the input's own size, so that nothing is scaled: the processor's pixels, then its boxes."""
    from transformers import DeformableDetrImageProcessor, RfDetrImageProcessor, RTDetrImageProcessor

    model = tiny_detr(kind)
    pixels = image()
    which: Any = {"lw_detr": DeformableDetrImageProcessor, "rf_detr": RfDetrImageProcessor}.get(
        kind, RTDetrImageProcessor
    )
    processor = which(do_resize=False)
    with torch.no_grad():
        inputs = processor(images=torch.from_numpy(pixels).permute(2, 0, 1), return_tensors="pt")
        out = model(pixel_values=inputs["pixel_values"])
    theirs = processor.post_process_object_detection(out, threshold=0.001, target_sizes=[(128, 128)])[0]
    expected = Candidates(theirs["boxes"].numpy().clip(0, 128), theirs["scores"].numpy())
    whole = (expected.boxes_xyxy[:, 2:] > expected.boxes_xyxy[:, :2]).all(1)
    folder = written(model, tmp_path / kind)
    ((view,),) = build_detector(DetectorConfig(weights=str(folder))).propose([pixels])
    assert view.name == f"{kind}/plain"
    np.testing.assert_allclose(rows(view.candidates), rows(expected.take(whole)), rtol=1e-4, atol=1e-3)
    assert len(view.candidates) > 3


def test_slices_views_and_ensembles_with_another_kind(tiny_detr: Callable, tmp_path: Path) -> None:
    """A slice is the image of its window; a mirrored view of a mirrored image is the plain view of the image."""
    a, b = written(tiny_detr("d_fine"), tmp_path / "a"), written(tiny_detr("rf_detr"), tmp_path / "b")
    slices = SliceConfig(mode=SliceMode.size, size=[128, 128], overlap=0.0)
    config = DetectorConfig(members=[
        MemberConfig(weights=str(a), imgsz=128, views=["plain", "flip_lr"], slices=slices),
        MemberConfig(weights=str(b)),
    ])  # fmt: skip
    wide = image(1, 128, 256)
    found = {v.name: v.candidates for v in build_detector(config).propose([wide])[0]}
    windows = ["slice_0_0_128_128", "slice_128_0_256_128"]
    assert set(found) == {"a/plain", "a/flip_lr", *(f"a/{w}" for w in windows), "b/plain"}
    alone = build_detector(DetectorConfig(weights=str(a), imgsz=128, views=["plain", "flip_lr"]))
    right = alone.propose([wide[:, 128:]])[0][0].candidates
    shifted = Candidates(right.boxes_xyxy + np.float32([128, 0, 128, 0]), right.confidence)
    np.testing.assert_allclose(rows(found[f"a/{windows[1]}"]), rows(shifted), rtol=1e-4, atol=1e-3)
    mirrored = alone.propose([np.ascontiguousarray(wide[:, ::-1])])[0][1].candidates
    back = mirrored.boxes_xyxy * [-1, 1, -1, 1] + [256, 0, 256, 0]
    back = Candidates(back[:, [2, 1, 0, 3]].astype(np.float32), mirrored.confidence)
    np.testing.assert_allclose(rows(found["a/plain"]), rows(back), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_onnx_gives_the_same_set_of_boxes(kind: str, tiny_detr: Callable, tmp_path: Path) -> None:
    folder = written(tiny_detr(kind), tmp_path / kind)
    run_dir = RunFolder(tmp_path / "run", "detector.export")
    run_dir.open("{}")
    told = export(ExportConfig(run_dir=str(run_dir.path), weights=str(folder), imgsz=[128, 192]), run_dir)
    assert told["num_boxes"] == 10
    network = OnnxNetwork(Path(str(told["file"])), "cpu")
    assert (network.fixed_shape, network.imgsz) == ((128, 192), (128, 192))
    inputs = np.stack([image(s, 128, 192) for s in (3, 4)])
    model = open_model(folder)[0].eval()
    with torch.no_grad():
        boxes, sure = model.detect(torch.from_numpy(inputs).permute(0, 3, 1, 2).float() / 255)
    for ours, box, confidence in zip(network.predict(inputs, 0.0), boxes.numpy(), sure.numpy(), strict=True):
        np.testing.assert_allclose(rows(ours), rows(Candidates(box, confidence)), rtol=1e-3, atol=1e-2)


def test_a_written_folder_opens_again_and_in_transformers(tiny_detr: Callable, tmp_path: Path) -> None:
    from transformers import AutoModelForObjectDetection

    model = DetrModel(tiny_detr("rt_detr_v2"), {}, (64, 96)).eval()
    model.write(tmp_path / "out")
    again, digest = open_model(tmp_path / "out")
    assert (again.imgsz, again.num_classes, again.stride, len(digest)) == ((64, 96), 1, 32, 64)
    theirs = AutoModelForObjectDetection.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(theirs[n], t) for n, t in model.detr.state_dict().items())


def test_folders_that_are_no_detectors_are_named(tiny_detr: Callable, tmp_path: Path) -> None:
    good = written(tiny_detr("d_fine"), tmp_path / "good")
    assert find_weights(str(good)) == good
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: holds no weights/best.pt and no config.json"):
        find_weights(str(tmp_path / "empty"))
    from safetensors.torch import load_file, save_file

    values = json.loads((good / "config.json").read_text())
    tensors = load_file(good / "model.safetensors")
    lacking = {n: t for n, t in tensors.items() if "encoder_input_proj.0" not in n}
    cases: list[tuple[dict[str, Any] | None, Any, str]] = [
        ({**values, "model_type": "bert"}, tensors, "field 'model_type': 'bert' is none of yolov6, rt_detr"),
        ({}, tensors, "field 'model_type': is missing"),
        (values, lacking, "tensor 'model.encoder_input_proj.0.* is missing"),
        (values, b"no tensors", "not a d_fine that transformers can open"),
        (values, None, "not a d_fine that transformers can open"),
    ]
    for config, data, message in cases:
        (good / "config.json").write_text(json.dumps(config))
        (good / "model.safetensors").unlink(missing_ok=True)
        if isinstance(data, bytes):
            (good / "model.safetensors").write_bytes(data)
        elif data is not None:
            save_file(data, good / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(InputError, match=message):
            build_detector(DetectorConfig(weights=str(good)))
    (good / "pytorch_model.bin").write_bytes(b"\x80\x02cos\nsystem\n(S'true'\ntR.")  # a pickle is never opened
    with pytest.raises(InputError, match="not a d_fine"):
        build_detector(DetectorConfig(weights=str(good)))


def test_a_hub_name_that_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"nobody/nothing: no such file, and not to be had from the Hugging Face hub"):
        find_weights("nobody/nothing")
