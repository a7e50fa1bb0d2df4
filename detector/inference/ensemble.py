"""Any number of members side by side: checkpoints, resolutions and views mixed by configuration alone."""

from collections.abc import Sequence
from pathlib import Path

from core.engines import Engine
from core.errors import InputError
from core.files import sha256_bytes
from core.stages import Image, View
from detector.inference.member import Member, member_name
from detector.inference.network import Network
from detector.models.opening import is_ours
from detector.settings import DetectorConfig, MemberConfig
from detector.weights import find_weights


class Ensemble:
    """A detector of one or more members."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = list(members)

    @property
    def key(self) -> str:
        """Content key: those of the members, in order."""
        return sha256_bytes(" ".join(f"{m.name}:{m.key}" for m in self._members).encode())[:16]

    def propose(self, images: Sequence[Image]) -> list[list[View]]:
        """Per image one View per member and view, before NMS, at confidence >= 0.001, in original-image pixels."""
        by_member = [member.propose(images) for member in self._members]
        return [[view for member in by_member for view in member[i]] for i in range(len(images))]


def build_ensemble(config: DetectorConfig, device: str, engine: Engine = Engine.torch) -> Ensemble:
    """Load every member; InputError when there is none or one cannot be loaded."""
    if config.members and config.weights:
        raise InputError("detector: give weights or members, not both")
    settings: list[MemberConfig] = list(config.members) or [config]
    networks: dict[tuple[Path, bool, tuple[str, ...]], Network] = {}
    members: list[Member] = []
    for number, member in enumerate(settings):
        if member.weights is None:
            where = f"detector.members[{number}].weights" if config.members else "detector"
            raise InputError(f"{where}: must be given: a checkpoint, a run folder or an exported model")
        path = find_weights(member.weights)
        which = (path.resolve(), member.half, tuple(member.classes))
        if which not in networks:  # one checkpoint at several sizes is loaded once
            networks[which] = load_network(path, member, device, engine)
        members.append(Member(member, networks[which], _unused(member_name(member, path), members)))
    return Ensemble(members)


def load_network(path: Path, member: MemberConfig, device: str, engine: Engine = Engine.torch) -> Network:
    """A checkpoint as a network; `engine` computes one that is an ONNX model. InputError for what is none."""
    if is_ours(path):
        from detector.inference.folder_network import FolderNetwork

        if member.classes:
            raise InputError(f"{path}: detector.classes: this detector knows one class, its targets")
        return FolderNetwork(path, device, member.half)
    if path.suffix == ".pt":
        from detector.inference.torch_network import TorchNetwork

        return TorchNetwork(path, device, member.half, member.classes)
    if path.suffix == ".onnx":
        from detector.inference.onnx_network import OnnxNetwork

        return OnnxNetwork(path, device, member.classes, engine)
    if path.suffix == ".engine":
        from detector.inference.engine_network import EngineNetwork

        return EngineNetwork(path, device, member.classes)
    raise InputError(f"{path}: a detector is a .pt checkpoint or an .onnx model (or a TensorRT .engine), or a folder")


def _unused(name: str, members: Sequence[Member]) -> str:
    taken = {member.name for member in members}
    number, unused = 1, name
    while unused in taken:
        number += 1
        unused = f"{name}_{number}"
    return unused
