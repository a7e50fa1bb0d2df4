"""The loss against big_vision's formula in JAX, on one process and on several."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT, SCRIPT = Path(__file__).resolve().parents[2], Path(__file__).with_name("jax_formula.py")


@pytest.mark.parametrize("same_caption", ["positive", "ignored", "negative"])
@pytest.mark.parametrize("n", [1, 2, 9, 33])
def test_equals_the_formula_with_gradients(n, same_caption):
    spec = importlib.util.spec_from_file_location("jax_formula", SCRIPT)
    formula = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(formula)
    formula.check([n], 0, same_caption)


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_several_processes_with_an_uneven_last_batch(processes):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", SCRIPT]
    done = subprocess.run(
        words, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("equal in all 6 cases") == processes
