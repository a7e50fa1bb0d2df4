"""The loss against big_vision's formula in JAX, on one process and on several."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("jax_formula.py")


@pytest.mark.parametrize("same_caption", ["positive", "ignored", "negative"])
@pytest.mark.parametrize("n", [1, 2, 9, 33])
def test_equals_the_formula_with_gradients(n, same_caption):
    spec = importlib.util.spec_from_file_location("jax_formula", SCRIPT)
    formula = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(formula)
    formula.check([n], 0, same_caption)


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_several_processes_with_an_uneven_last_batch(processes, run_processes):
    assert run_processes(processes, SCRIPT).count("equal in all 6 cases") == processes
