# Python 3.11, make and a C compiler are all that must be present; the rest comes from requirements.lock.
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
EXTRAS := .venv-extras
FREE := .venv-free
SHELL := /bin/bash
COMPILE := $(VENV)/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --overrides requirements-overrides.txt --custom-compile-command "make lock"

.DEFAULT_GOAL := help

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 20

$(READY): requirements.lock requirements-uv.lock
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; name another with PYTHON=..." >&2; exit 2; }
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	$(VENV)/bin/uv pip sync --quiet --compile-bytecode --require-hashes --python $(RUN) requirements.lock requirements-uv.lock
	$(VENV)/bin/uv pip install --quiet --python $(RUN) --no-deps --no-build-isolation --config-setting editable_mode=compat --editable .
	touch $@

install: $(READY)  ## build .venv from the hash-pinned lock

demo: $(READY)  ## the whole system on drawn scenes: train, export, judge, report (goes on where it stopped)
	$(RUN) scripts/chain.py size=demo run_dir=runs/demo

figures: $(READY)  ## bring README and handbook to the demo's figures and to docs/results/ (after make demo)
	$(RUN) scripts/figures.py demo=runs/demo

test: $(READY)  ## the test suite, with short fault tests (under 15 minutes on 2 cores)
	$(RUN) -m pytest -n 2 --dist worksteal

$(EXTRAS)/.ready: requirements-extras.lock $(READY)
	test -x $(EXTRAS)/bin/python || $(PYTHON) -m venv $(EXTRAS)
	$(VENV)/bin/uv pip sync --quiet --require-hashes --python $(EXTRAS)/bin/python requirements-extras.lock requirements-uv.lock
	$(VENV)/bin/uv pip install --quiet --python $(EXTRAS)/bin/python --no-deps --no-build-isolation --config-setting editable_mode=compat --editable .
	touch $@

test-extras: $(EXTRAS)/.ready  ## what needs JAX: loss, big_vision bridge, TFDS export (own environment, .venv-extras, 8 GB)
	$(EXTRAS)/bin/python -m pytest tests/extras

$(FREE)/.ready: requirements.lock pyproject.toml $(READY)
	test -x $(FREE)/bin/python || $(PYTHON) -m venv $(FREE)
	$(COMPILE) --quiet --extra dev --extra weights --constraints requirements.lock --output-file $(FREE)/requirements.txt
	$(VENV)/bin/uv pip sync --quiet --require-hashes --python $(FREE)/bin/python $(FREE)/requirements.txt requirements-uv.lock
	$(VENV)/bin/uv pip install --quiet --python $(FREE)/bin/python --no-deps --no-build-isolation --config-setting editable_mode=compat --editable .
	touch $@

test-free: $(FREE)/.ready  ## the suite where Ultralytics is not installed (own environment, .venv-free)
	$(FREE)/bin/python -m pytest -n 2 --dist worksteal

faults: $(READY)  ## the fault tests with their full counts (at most 60 minutes), summary in runs/faults
	mkdir -p runs/faults
	set -o pipefail; $(RUN) -m pytest -n 2 --dist worksteal -m faults --full --durations=0 2>&1 | tee runs/faults/$$(date -u +%Y-%m-%d_%H-%M-%S).txt

gpu-check:  ## speed at the published sizes on a GPU, by PYTHON as it is (has torch and transformers); at most 8 minutes
	$(PYTHON) scripts/gpu_check.py

gpu-wheels: $(READY)  ## runs/gpu-wheels: what gpu-check needs beside torch and transformers, for a machine without a network
	$(RUN) -m benchmarks.gpu.wheels runs/gpu-wheels

lint: $(READY)  ## ruff, mypy and the layers of the design
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

format: $(READY)  ## let ruff format and sort what it can
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

lock: $(READY)  ## renew requirements.lock, the container's part of it and the extras', from pyproject.toml
	$(COMPILE) --extra dev --extra ultralytics --extra weights --extra openvino --output-file requirements.lock
	$(COMPILE) --extra ultralytics --constraints requirements.lock --output-file requirements-image.lock
	$(COMPILE) --extra dev --extra ultralytics --extra jax --constraints requirements.lock --output-file requirements-extras.lock

clean:  ## remove the environment and the tools' caches (not runs/ nor datasets/)
	rm -rf $(VENV) $(EXTRAS) $(FREE) .mypy_cache .ruff_cache .import_linter_cache .pytest_cache grounder.egg-info

.PHONY: help install demo figures test test-extras test-free faults gpu-check gpu-wheels lint format lock clean
