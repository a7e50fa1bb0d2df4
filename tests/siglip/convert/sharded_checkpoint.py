"""One of several processes that shard a small scorer by FSDP2, compile it, checkpoint a layer and save it as DCP.

    python sharded_checkpoint.py RANK PROCESSES PORT CHECKPOINT OUT

The stored dictionary holds model and optimizer side by side, as training scripts save it.
"""

import os
import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoModel


def main(rank, processes, port, checkpoint, out):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "WORLD_SIZE": processes}
    dist.init_process_group("gloo")
    model = AutoModel.from_pretrained(checkpoint)
    layers = model.vision_model.encoder.layers
    layers[0] = checkpoint_wrapper(layers[0])
    mesh = init_device_mesh("cpu", (int(processes),))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    compiled = torch.compile(model, backend="aot_eager")
    optimizer = torch.optim.AdamW(compiled.parameters(), lr=1e-3)
    torch.manual_seed(0)
    side = model.config.vision_config.image_size
    output = compiled(input_ids=torch.randint(0, 6, (3, 64)), pixel_values=torch.randn(3, 3, side, side))
    output.logits_per_image.square().mean().backward()
    optimizer.step()
    parameters = {name: parameter.detach() for name, parameter in compiled.named_parameters()}
    assert any("_orig_mod." in n and "._checkpoint_wrapped_module." in n for n in parameters), list(parameters)
    dcp.save({"model": parameters, "optimizer": optimizer.state_dict()}, checkpoint_id=out)
    full = {name: parameter.full_tensor() for name, parameter in parameters.items()}
    if rank == "0":
        torch.save(full, f"{out}.expected.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
