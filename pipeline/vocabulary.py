"""An open-vocabulary YOLO as a one-stage model: each caption is the one class that it looks for."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from core.errors import check_shares
from core.files import sha256_bytes
from core.stages import Image
from core.values import Grounded
from detector.inference.member import Member
from detector.inference.open_network import OpenNetwork
from detector.settings import MemberConfig
from detector.weights import find_weights
from onestage.settings import OneStageConfig


class Vocabulary:
    """YOLO-World or YOLOE as `core.stages.OneStage`.

    Captions are asked one by one: in YOLO-World the words of all classes weigh the image's features, so that a
    caption's boxes would hang on what else is asked.
    """

    per_caption = True

    def __init__(self, network: OpenNetwork, member: Member, floor: float) -> None:
        import ultralytics

        self._network, self._member, self._floor = network, member, floor
        told = (member.key, floor, ultralytics.__version__)
        self.key = sha256_bytes(repr(told).encode())[:16]

    @torch.inference_mode()
    def ground(self, images: Sequence[Image], captions: Sequence[Sequence[str]]) -> Iterator[tuple[int, int, Grounded]]:
        """See `core.stages.OneStage`; a confidence is the class's, before NMS."""
        for number, (image, asked) in enumerate(zip(images, captions, strict=True)):
            for place, caption in enumerate(asked):
                truncated = self._network.look_for(caption)
                ((view,),) = self._member.propose([image])
                found = view.candidates.take(np.argsort(-view.candidates.confidence, kind="stable"))
                found = found.take(found.confidence > np.float32(self._floor))
                yield number, place, Grounded(found, truncated=truncated)


def build_vocabulary(config: OneStageConfig, device: str) -> Vocabulary:
    """The model of a checkpoint of Ultralytics'; InputError when it is no open-vocabulary YOLO or cannot be had."""
    check_shares(config, ("floor",), "onestage.")
    network = OpenNetwork(find_weights(str(config.weights)), device, config.half)
    member = Member(MemberConfig(weights=config.weights, imgsz=config.imgsz, half=config.half), network, "yolo")
    return Vocabulary(network, member, config.floor)
