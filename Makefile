# make demo    installs into .venv, runs the embedded model, replays the run, says what came of it
# make test    installs into .venv, checks the code, runs the whole test suite
# make help    lists the rest

VENV := .venv
BIN := $(VENV)/bin
# the first Python of 3.11 to 3.13 that is there; or say which: make demo PYTHON=/path/to/python3.12
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
TREES ?= 300
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test test-unit check test-slow test-pipelines test-lookup conformance check-conformance check-conformance-all test-restore trees test-emulated test-hub test-gpu examples bench docs clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 was found"; \
		echo "  do: install one, or name it: make demo PYTHON=/path/to/python3.12"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "error: $(PYTHON) cannot make a virtual environment"; \
		echo "  do: on Debian and Ubuntu, apt-get install python3-venv"; exit 2; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (the first time this downloads torch; minutes)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(PIP) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed  ## run the embedded model, replay the run, print the verdict
	@run=$$($(BIN)/repro-track run seed=3 num_images=4) && echo && \
		verdict=$$($(BIN)/repro-track replay $$run) && echo && \
		echo "verdict: $$verdict" && \
		echo "see both runs: $(BIN)/repro-track ui"

test: check  ## check the code, run the whole test suite
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not hub and not gpu and not restore and not pipelines and not lookup and not emulated"

test-unit: $(VENV)/.installed-dev  ## layers, unit tests and doctests: no process, no MLflow; for whoever moves code; 3 minutes
	@$(BIN)/python -m pytest --quiet -n 2 --dist loadscope -m "not restore" tests/unit repro_track

check: $(VENV)/.installed-dev  ## lint, layers, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache > /tmp/repro_track-layers.$$$$ || { cat /tmp/repro_track-layers.$$$$; rm /tmp/repro_track-layers.$$$$; exit 1; }; rm -f /tmp/repro_track-layers.$$$$
	@$(BIN)/mypy

test-slow: $(VENV)/.installed-dev  ## tests that take minutes each: the whole training run and its replay
	@$(BIN)/python -m pytest -m slow

test-pipelines: $(VENV)/.installed-dev  ## stages, inputs, adapters, batches: every way of calling a pipeline; 8 minutes
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m pipelines

test-lookup: $(VENV)/.installed-dev  ## MLflow's UI in a browser, PostgreSQL, pictures, sweeps, many replays; needs chromium and postgresql; 15 minutes
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m lookup

conformance: $(VENV)/.installed-dev  ## run and replay every pipeline and scheduler, rewrite the table of docs/conformance.md; 4 minutes
	@$(BIN)/python -m tests.conformance.matrix

check-conformance: $(VENV)/.installed-dev  ## the same, compared with the table: every family and scheduler, a quarter of the variants; 6 minutes
	@$(BIN)/python -m tests.conformance.matrix --check --each 4 --sample 4

check-conformance-all: $(VENV)/.installed-dev  ## the same with all variants
	@$(BIN)/python -m tests.conformance.matrix --check

test-restore: $(VENV)/.installed-dev  ## replays in restored code and packages, planted causes, hostile records, secrets; 15 minutes
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m restore

trees: $(VENV)/.installed-dev  ## random git trees through capture and restore; TREES=1000 takes 15 minutes
	@REPRO_TRACK_TREES=$(TREES) $(BIN)/python -m pytest --quiet -n 2 tests/unit/capture/test_tree.py -k any_tree

test-emulated: $(VENV)/.installed-dev  ## determinism=portable on two emulated processors; needs qemu-user
	@$(BIN)/python -m pytest -m emulated

test-hub: $(VENV)/.installed-dev  ## the guide's figure on the real weights; needs the Hugging Face Hub
	@$(BIN)/python -m pytest -m hub

test-gpu: $(VENV)/.installed-dev  ## tests that need a CUDA device
	@$(BIN)/python -m pytest -m gpu

examples: $(VENV)/.installed-dev  ## run each example, replay it, print the verdict
	@PATH=$(CURDIR)/$(BIN):$$PATH sh examples/run_all.sh

bench: $(VENV)/.installed-dev  ## the figures of docs/figures.md
	@$(BIN)/python benchmarks/overhead.py
	@$(BIN)/python benchmarks/digits.py
	@$(BIN)/python benchmarks/lookup.py

docs: $(VENV)/.installed-dev  ## build the site of docs/ into build/site; a broken link or a missing docstring ends it
	@$(BIN)/ruff check --quiet repro_track
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build && echo "see build/site/index.html"

clean:  ## remove .venv and what builds leave
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache test-output
