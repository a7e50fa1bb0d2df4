"""Small true networks with random weights, saved on the spot."""

import pytest
import torch
from safetensors.torch import save_file
from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact
from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet


@pytest.fixture
def compact(tmp_path):
    torch.manual_seed(0)
    network = SRVGGNetCompact(num_feat=8, num_conv=2, upscale=4)
    save_file(network.state_dict(), tmp_path / "compact.safetensors")
    return tmp_path / "compact.safetensors", network.eval()


@pytest.fixture
def rrdb2(tmp_path):
    torch.manual_seed(0)
    network = RRDBNet(in_nc=12, out_nc=3, num_filters=8, num_blocks=1, scale=4, shuffle_factor=2)
    torch.save({"params_ema": network.state_dict()}, tmp_path / "x2.pth")
    return tmp_path / "x2.pth", network.eval()


@pytest.fixture
def rrdb4(tmp_path):
    torch.manual_seed(0)
    network = RRDBNet(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=4)
    torch.save({"params": network.state_dict()}, tmp_path / "x4.pth")
    return tmp_path / "x4.pth", network.eval()
