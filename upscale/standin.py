"""Make an untrained stand-in for Real-ESRGAN's weights: the true network with a zero last layer.

SRVGGNetCompact adds the nearest-neighbour enlargement of its input to what its layers say, so with a last layer of
zeros it is exactly that enlargement, through every line that the true weights would go through.
"""

from dataclasses import dataclass
from typing import Any

from core.runs import RunConfig, RunFolder


@dataclass
class StandinConfig(RunConfig):
    """Settings of `upscale.standin`."""

    features: int = 64  # width of the network; realesr-general-x4v3 has 64
    convolutions: int = 32  # its depth; realesr-general-x4v3 has 32
    scale: int = 4  # enlargement
    seed: int = 0  # of the layers before the last


def run(config: StandinConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `standin.safetensors`, which spandrel reads as any Real-ESRGAN Compact checkpoint."""
    import torch
    from safetensors.torch import save
    from spandrel.architectures.Compact import Compact  # noqa: F401  (spandrel registers the architecture)
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    from core.files import write_bytes

    torch.manual_seed(config.seed)
    network = SRVGGNetCompact(num_feat=config.features, num_conv=config.convolutions, upscale=config.scale)
    last = network.body[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    write_bytes(folder.path / "standin.safetensors", save(network.state_dict()))
    return {"num_parameters": sum(p.numel() for p in network.parameters())}


def main(argv: list[str] | None = None) -> None:
    """Run the command `upscale.standin`."""
    from grounder.command import run_command

    run_command("upscale.standin", StandinConfig, run, argv)


if __name__ == "__main__":
    main()
