"""The sigmoid loss beside transformers' own: time and peak memory, forward and backward, each in a fresh process.

    python benchmarks/loss.py [--batch 8192] [--width 1024] [--rounds 3] [--busy 4]

`--busy N` runs beside N processes that each keep one thread busy, as other programs on a shared machine do.
Peak memory is the kernel's high-water mark (VmHWM after clear_refs) above the inputs; their gradients are told apart.
Seen on 2 cores: see docs/log.md.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.recording import record, take_json


def status_bytes(field: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def transformers_loss(image, text, scale, bias):  # type: ignore[no-untyped-def]
    """The lines of transformers' SiglipModel.forward, as they stand there (compared with it in tests)."""
    import torch

    logits_per_text = torch.matmul(text, image.t()) * scale + bias
    eye = torch.eye(logits_per_text.size(0))
    m1_diag1 = -torch.ones_like(logits_per_text) + 2 * eye
    loglik = torch.nn.functional.logsigmoid(m1_diag1 * logits_per_text)
    nll = -torch.sum(loglik, dim=-1)
    return nll.mean()


def measure(which: str, batch: int, width: int) -> dict[str, float]:
    """Seconds, and bytes above the inputs, of one forward and backward pass."""
    import torch
    import torch.nn.functional as F

    from siglip.loss.sigmoid import sigmoid_loss

    torch.manual_seed(0)
    image, text = (F.normalize(torch.randn(batch, width)).requires_grad_() for _ in range(2))
    scale, bias = (torch.tensor(v, requires_grad=True) for v in (100.0, -12.0))

    def step(image: torch.Tensor, text: torch.Tensor) -> float:
        ids = torch.arange(len(image))
        args = (image, text, scale, bias)
        loss = sigmoid_loss(*args, ids, "negative") if which == "ours" else transformers_loss(*args)
        loss.backward()
        return loss.item()

    step(image[:64], text[:64])  # the thread pools and the matrix library's buffers exist from here on
    image.grad = text.grad = scale.grad = bias.grad = None
    Path("/proc/self/clear_refs").write_text("5")
    before, began = status_bytes("VmRSS"), time.perf_counter()
    loss = step(image, text)
    seconds = time.perf_counter() - began
    return {"loss": loss, "seconds": seconds, "bytes": status_bytes("VmHWM") - before}


@contextlib.contextmanager
def beside(number: int) -> Iterator[None]:
    """So many processes that keep one thread each busy, ended on leaving."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    """Alternate the two in fresh processes and print the ratios of their medians."""
    file = take_json()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--measure", choices=["ours", "transformers"])
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.batch, options.width)))
        return
    import torch
    import transformers

    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads, "
          f"batch {options.batch}, width {options.width}, float32, {options.rounds} rounds, "
          f"beside {options.busy} busy processes")  # fmt: skip
    seen: dict[str, list[dict[str, float]]] = {"ours": [], "transformers": []}
    with beside(options.busy):
        for _ in range(options.rounds):
            for which in seen:
                words = [sys.executable, __file__, "--measure", which, f"--batch={options.batch}"]
                done = subprocess.run([*words, f"--width={options.width}"], capture_output=True, text=True, check=True)
                seen[which].append(json.loads(done.stdout.splitlines()[-1]))
    seconds = {k: statistics.median(r["seconds"] for r in v) for k, v in seen.items()}
    peak = {k: statistics.median(r["bytes"] for r in v) for k, v in seen.items()}
    gradients = 2 * options.batch * options.width * 4
    for which in seen:
        print(f"{which}: loss {seen[which][0]['loss']:.6f}, {seconds[which]:.2f} s, peak above inputs "
              f"{peak[which] / 1e6:.0f} MB, and gradients {(peak[which] - gradients) / 1e6:.0f} MB")  # fmt: skip
    print(f"time, ours over theirs: {seconds['ours'] / seconds['transformers']:.2f}")
    apart = (peak["transformers"] - gradients) / (peak["ours"] - gradients)
    print(f"memory, theirs over ours: {apart:.1f} above inputs and gradients, "
          f"{peak['transformers'] / peak['ours']:.1f} with the gradients")  # fmt: skip
    ratio = seconds["ours"] / seconds["transformers"]
    record(file, f"loss_beside_{options.busy}", {"time_over_transformers": ratio, "memory_below": apart})


if __name__ == "__main__":
    main()
