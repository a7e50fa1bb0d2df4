"""A stub of a server beside the tiny system: what it answers, and exports that ask it."""

import json
from pathlib import Path

import numpy as np
import pytest
from onestage_server import Stub, caption_of, images_of

from core.images import read_image
from core.store import image_digest
from data.captions import read_annotations
from onestage import chat
from pipeline.export import main


@pytest.fixture
def truth(system):
    return read_annotations(system / "scenes/annotations.jsonl")


@pytest.fixture
def where(system, truth):
    """(image digest, caption) -> its true box, as xyxy in 0..1000: what a perfect model would say."""
    told = {}
    for entry in truth:
        image = read_image(system / "scenes/images" / entry.image)
        height, width = image.shape[:2]
        for a in entry.annotations:
            left, top, w, h = a.boxes_ltwh[0]
            box = np.asarray([left / width, top / height, (left + w) / width, (top + h) / height]) * 1000
            told[image_digest(image), a.caption] = box.round(2).tolist()
    return told


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setattr(chat, "FIRST_PAUSE_S", 0.01)
    stubs = []

    def start(reply, **more):
        stubs.append(Stub(reply, **more))
        return stubs[-1]

    yield start
    for stub in stubs:
        stub.close()


@pytest.fixture
def perfect(serve, where):
    return serve(lambda body: json.dumps([{"bbox_2d": where[image_digest(images_of(body)[0]), caption_of(body)]}]))


@pytest.fixture
def ask(system):
    def run(name, *words):
        main([f"annotations={system}/scenes/annotations.jsonl", f"images={system}/scenes/images", "batch=2",
              "tracking.mode=disabled", f"run_dir={name}", *words])  # fmt: skip
        return Path(name)

    return run
