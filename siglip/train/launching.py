"""The Accelerator of a training: one process, DDP, or FSDP2, as launched or as the settings say."""

import os
import signal
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator

from core.errors import InputError
from siglip.loss.gathering import num_processes
from siglip.train.settings import Strategy, TrainConfig, TrainPrecision

# accelerate's words for the number types; the one left out is as accelerate is configured
PRECISIONS = {TrainPrecision.float32: "no", TrainPrecision.bfloat16: "bf16"}
ALONE = "strategy: fsdp needs several processes; start them by accelerate launch or torchrun"


class Stopped(SystemExit):
    """SIGTERM came: the state is saved and the process ends with the status shells give for it."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


class StopSignal:
    """SIGTERM, seen by all processes at the same moment of the training."""

    def __init__(self) -> None:
        self._came = False
        signal.signal(signal.SIGTERM, self._note)
        several = num_processes() > 1
        self._group: Any = torch.distributed.new_group(backend="gloo") if several else None  # waits for no GPU

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = True

    def check(self) -> None:
        """Raise Stopped on every process if any has been told to stop."""
        came = self._came
        if self._group is not None:
            flag = torch.tensor(int(came))
            torch.distributed.all_reduce(flag, group=self._group)
            came = bool(flag.item())
        if came:
            raise Stopped


def make_accelerator(config: TrainConfig) -> Accelerator:
    """The Accelerator; InputError for settings that this machine or its launcher cannot serve."""
    from accelerate.state import AcceleratorState
    from accelerate.utils import TorchDynamoPlugin

    precision = PRECISIONS.get(config.precision)
    dynamo = TorchDynamoPlugin(backend=config.compile) if config.compile else None
    wanted = config.strategy
    launched = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    several = processes > 1
    if several and config.device is not None:
        raise InputError(f"device: {config.device} is of one process; accelerate launch gives each of several its own")
    if config.device is not None and config.device.startswith("cuda:"):
        torch.cuda.set_device(config.device)
    if wanted is Strategy.fsdp and not several:
        raise InputError(ALONE)
    if wanted is Strategy.ddp and launched:
        raise InputError("strategy: ddp, but accelerate's configuration file asks for FSDP")
    by_torchrun = several and "ACCELERATE_MIXED_PRECISION" not in os.environ
    by_itself = wanted is Strategy.auto and by_torchrun and torch.cuda.is_available()
    sharded = launched or wanted is Strategy.fsdp or by_itself
    plugin = _fsdp2() if sharded else None
    if not several:  # an earlier training of this process, as in a multirun, left its precision and compiler behind
        AcceleratorState._reset_state(reset_partial_state=True)
    # Without `cpu`, accelerate opens a process group of CPU processes and then lets each of them train by itself.
    accelerator = Accelerator(
        mixed_precision=precision, dynamo_plugin=dynamo, fsdp_plugin=plugin if torch.cuda.is_available() else None,
        cpu=config.device == "cpu" or (several and not torch.accelerator.is_available()),
    )  # fmt: skip
    if accelerator.num_processes != processes:
        raise InputError(f"accelerate joins {accelerator.num_processes} of the {processes} processes that were started")
    if plugin is not None and accelerator.device.type == "cpu":
        _shard_on_cpu(accelerator, plugin)
    return accelerator


def _fsdp2() -> Any:
    """FSDP2 over the towers' layers, whatever version a configuration file names: FSDP1 fails at gradient caching."""
    from accelerate import FullyShardedDataParallelPlugin

    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        reshard_after_forward=True,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["SiglipEncoderLayer"],
        cpu_ram_efficient_loading=False,
        state_dict_type="SHARDED_STATE_DICT",
    )


def _shard_on_cpu(accelerator: Accelerator, plugin: Any) -> None:
    """Switch an Accelerator of CPU processes to FSDP2, which accelerate offers for GPUs only; gloo serves it."""
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    if num_processes() < 2:
        raise InputError(ALONE)
    state: Any = AcceleratorState()
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    state.distributed_type = DistributedType.FSDP
    if accelerator.mixed_precision == "bf16":
        plugin.set_mixed_precision("bf16")
    state.fsdp_plugin = plugin
