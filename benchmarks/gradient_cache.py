"""A step in micro-batches with cached gradients beside the same step as one big batch: time and activation memory.

    python -m benchmarks.gradient_cache [--batch 256] [--micro 4 16 32] [--rounds 3] [--captions 256]

The peer, `plain`, is one forward and one backward pass of the same SiglipModel (random weights, float32) over the whole
batch. Every measurement is a process of its own; they take turns. A process takes one step for the kernel's high-water
mark (VmHWM after clear_refs, above what was there before it and above one copy of the gradients, which both must hold)
and two more for the time, whose mean counts. Both ways must give the same loss and gradient norm. Exit status 1 when a
micro-batch of 16 or more takes over 1.40 times the plain step, or one of a sixteenth of the batch or less holds over an
eighth of its memory. By arithmetic alone a cached step costs (4 - micro / batch) / 3 of a plain one.
Seen: see docs/log.md.
"""

import argparse
import contextlib
import ctypes
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loss import status_bytes
from benchmarks.recording import record, take_json

MOST_TIME, SMALLEST = 1.40, 16  # the goal for the time holds from this micro-batch on
MOST_MEMORY, SHARE = 1 / 8, 1 / 16  # that for the memory, up to this share of the batch
TIMED = 2  # steps
WORDS = tuple(f"word{i}" for i in range(64))


def model_and_batch(options: argparse.Namespace) -> tuple[Any, Any, Any, Any]:
    """(model with its pair forward, (B, 3, S, S) pixels, (M, L) tokens of the distinct captions, (B) caption ids)."""
    import torch

    from siglip.model import make_model, tokens
    from siglip.train.towers import bind_pair_forward

    torch.manual_seed(0)
    tower = {"hidden_size": options.width, "intermediate_size": 4 * options.width,
             "num_hidden_layers": options.layers, "num_attention_heads": options.width // 64}  # fmt: skip
    architecture = {
        "vision": {**tower, "image_size": options.side, "patch_size": 16},
        "text": {**tower, "max_position_embeddings": 64, "projection_size": options.width},
    }
    captions = [f"{WORDS[i // 64]} {WORDS[i % 64]}" for i in range(options.captions)]
    model, processor = make_model(architecture, captions)
    bind_pair_forward(model)
    pixels = torch.randn(options.batch, 3, options.side, options.side)
    ids = np.arange(options.batch) % options.captions
    return model.train(), pixels, tokens(processor, captions, "{}")["input_ids"], ids


def step(model: Any, pixels: Any, input_ids: Any, ids: Any, micro: int) -> tuple[float, float]:
    """Loss and gradient norm of one step; micro 0: plainly, one forward and one backward pass of everything."""
    import torch

    from siglip.loss.caching import Embedded, split_batch, whole_batch
    from siglip.loss.sigmoid import sigmoid_loss

    model.zero_grad(set_to_none=True)
    rows, captions = torch.from_numpy(np.unique(ids, return_inverse=True)[1]), torch.from_numpy(ids)
    if micro == 0:
        image, text, scale, bias, _ = model(input_ids=input_ids[np.unique(ids)], pixel_values=pixels)
        loss = sigmoid_loss(image, text[rows], scale, bias, captions)
        loss.backward()
    else:
        parts = split_batch(ids, -(-len(ids) // micro), own_captions=False)

        def forward(k: int) -> Embedded:
            part = parts[k]
            image, text, scale, bias, _ = model(
                input_ids=input_ids[torch.from_numpy(part.captions)], pixel_values=pixels[part.crops]
            )
            return Embedded(image, text[: part.num_texts], scale, bias)

        def loss_of(image: Any, text: Any, scale: Any, bias: Any) -> Any:
            return sigmoid_loss(image, text[rows], scale, bias, captions)

        loss = whole_batch(
            forward, len(parts), loss_of, lambda s: s.backward(), lambda last: contextlib.nullcontext(), 1.0
        )
    return loss.item(), math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))


def measure(options: argparse.Namespace) -> dict[str, float]:
    """What one process sees of `options.measure`, a micro-batch's size or 0."""
    model, pixels, input_ids, ids = model_and_batch(options)
    micro = options.measure
    step(model, pixels[:8], input_ids, ids[:8], min(micro, 4))  # the thread pools and the library's buffers exist now
    model.zero_grad(set_to_none=True)
    ctypes.CDLL(None).malloc_trim(0)  # what the small step left in the heap is no head start
    Path("/proc/self/clear_refs").write_text("5")
    before = status_bytes("VmRSS")
    loss, norm = step(model, pixels, input_ids, ids, micro)
    gradients = sum(p.numel() * p.element_size() for p in model.parameters())
    above = status_bytes("VmHWM") - before - gradients
    began = time.perf_counter()
    for _ in range(TIMED):
        step(model, pixels, input_ids, ids, micro)
    seconds = (time.perf_counter() - began) / TIMED
    return {"loss": loss, "norm": norm, "bytes": above, "seconds": seconds, "gradients": gradients}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256, help="pairs of the step")
    parser.add_argument("--micro", type=int, nargs="+", default=[4, 16, 32], help="pairs at a time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--captions", type=int, default=256, help="distinct captions, at most the batch")
    parser.add_argument("--width", type=int, default=256, help="of both towers")
    parser.add_argument("--layers", type=int, default=4, help="of each tower")
    parser.add_argument("--side", type=int, default=128, help="pixels of the image's side, patches of 16")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def in_own_process(micro: int) -> dict[str, float]:
    """`measure` in a fresh process."""
    words = [sys.executable, "-m", "benchmarks.gradient_cache", *sys.argv[1:], "--measure", str(micro)]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Take turns, and print each micro-batch's ratios to the plain step."""
    file = take_json()
    options = arguments()
    if options.measure is not None:
        print(json.dumps(measure(options)))
        return
    import torch
    import transformers

    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads; "
          f"batch {options.batch}, {options.captions} captions, towers {options.layers} x {options.width}, "
          f"{options.side} px, float32, {options.rounds} rounds")  # fmt: skip
    seen: dict[int, list[dict[str, float]]] = {micro: [] for micro in (0, *options.micro)}
    for _ in range(options.rounds):
        for micro, rounds in seen.items():
            rounds.append(in_own_process(micro))
    plain = {name: statistics.median(r[name] for r in seen[0]) for name in seen[0][0]}
    print(f"plain: {plain['seconds']:.2f} s, {plain['bytes'] / 1e6:.0f} MB above {plain['gradients'] / 1e6:.0f} MB of "
          f"gradients, loss {plain['loss']:.6f}, gradient norm {plain['norm']:.6f}")  # fmt: skip
    missed, figures = False, {}
    for micro in options.micro:
        found = {name: statistics.median(r[name] for r in seen[micro]) for name in plain}
        for name in ("loss", "norm"):
            assert math.isclose(found[name], plain[name], rel_tol=1e-5), (micro, name, found[name], plain[name])
        slower, share = found["seconds"] / plain["seconds"], found["bytes"] / plain["bytes"]
        by_round = [c["seconds"] / p["seconds"] for c, p in zip(seen[micro], seen[0], strict=True)]
        print(f"micro {micro}: {found['seconds']:.2f} s, {slower:.3f} of plain ({min(by_round):.3f} to "
              f"{max(by_round):.3f} by round), {found['bytes'] / 1e6:.0f} MB, 1/{1 / share:.1f} of plain")  # fmt: skip
        figures[str(micro)] = {"time_over_plain": slower, "memory_over_plain": share}
        missed |= (micro >= SMALLEST and slower > MOST_TIME) or (micro <= options.batch * SHARE and share > MOST_MEMORY)
    record(file, "gradient_cache", {"plain_s": plain["seconds"], "micro": figures})
    raise SystemExit(int(missed))


if __name__ == "__main__":
    main()
