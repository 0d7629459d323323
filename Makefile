# Every target makes what it needs. PYTHON chooses the interpreter, VENV where its packages go, SELECT
# and TESTS the tests, MINUTES and OUT how long `accelerator` may take and where it writes.
PYTHON ?= python3
VENV ?= .venv
SELECT ?= $(if $(THOROUGH),not script,not script and not same_bits)
TESTS ?= tests
MINUTES ?= 7
DEVICE ?=
THOROUGH ?=
OUT ?= benchmarks/results/accelerator
BIN := $(VENV)/bin
READY := $(VENV)/ready
DOCS_READY := $(VENV)/docs-ready
CORES := $(shell nproc 2>/dev/null || echo 2)
# $(1): how much effort goes into compiling, from 0 to 3, which is what users get
pytest = $(BIN)/python -m pytest -n $(CORES) $(if $(THOROUGH),,--compile-effort=$(1) --jaxtyping-packages=)

.PHONY: help demo histogram explorer examples test test-scripts planted brute-force torture lint format figures benchmarks accelerator paper-checks docs clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(DOCS_READY): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

demo: $(READY)  ## SGD beside its SDE, on a double well and on digits: tables and figures
	$(BIN)/python examples/double_well_histograms.py
	$(BIN)/python examples/digits_mlp_sgd_vs_sde.py
	@echo; echo "figures:"; ls -1 figures/double_well_histograms.png figures/digits_mlp_sgd_vs_sde.png

histogram: $(READY)  ## the first of these alone, quickly
	$(BIN)/python examples/double_well_histograms.py --quick

explorer: $(READY)  ## settings moved with sliders, SGD, its SDE and their laws redrawn at once: opens in the browser
	$(BIN)/python -m sde_sgd explore

examples: $(READY)  ## every example, quickly
	for script in examples/[a-z]*_*.py; do $(BIN)/python $$script --quick || exit 1; done

test: $(READY)  ## the tests
	$(call pytest,0) -m '$(SELECT)' $(TESTS)

planted: $(READY)  ## plant faults in a copy, one by one, and see that the tests notice; about half an hour
	PYTHONPATH=tests $(BIN)/python -m planted --jobs $(CORES) --out docs/planted_faults.md

brute-force: $(READY)  ## diagnose judged on 40 drawn settings, twice: the table in docs; about twenty minutes
	$(BIN)/python tests/diagnosis_brute_force.py --seed 5 1 --out docs/diagnosis_brute_force.md

torture: $(READY)  ## kill runs, cut files short, flip their bits, thousands of times: the table in docs; about an hour
	PYTHONPATH=tests $(BIN)/python -m torture --jobs $(CORES) --out docs/torture.md

test-scripts: $(DOCS_READY)  ## the examples, the cards of all papers at the smallest scale, runs that are killed, what takes long
	$(call pytest,1) -m script tests/paper_checks
	$(call pytest,3) -m 'script or same_bits' --ignore=tests/paper_checks

lint: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python

format: $(READY)  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

figures: $(READY)  ## make the pictures of the README again
	for script in double_well_histograms digits_mlp_sgd_vs_sde eta_over_batch_invariance two_minima \
		sweep_eta_over_batch does_the_sde_hold weak_order escape_from_a_minimum sharpest_directions \
		optimal_batch_size grow_the_batch network_minimum_histograms; do \
		$(BIN)/python examples/$$script.py --out docs/figures || exit 1; done

benchmarks: $(READY)  ## speed beside other libraries, installed first; the table in the README
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[benchmarks]'
	$(BIN)/python -m benchmarks --results benchmarks/results
	$(BIN)/python -m benchmarks.readme

accelerator: $(READY)  ## all that is to be known of a device, in MINUTES=7, into OUT; DEVICE=cuda or tpu installs JAX for it
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[benchmarks$(DEVICE:%=,%)]'
	$(BIN)/python -m benchmarks.accelerator --minutes $(MINUTES) --out $(OUT)

paper-checks: $(READY)  ## check the claims of papers: a report in paper_checks/results, three quarters of an hour on two cores
	$(BIN)/python -m paper_checks --scale quick --out paper_checks/results

docs: $(DOCS_READY)  ## the pages, docs/_build/html/index.html; a reference that leads nowhere is an error
	$(BIN)/python docs/execute_notebooks.py --out docs/notebooks
	$(BIN)/python -m sphinx -W -n --keep-going -q -b html docs docs/_build/html

clean:  ## remove what these targets made
	rm -rf .venv* figures docs/_build docs/notebooks .cache .pytest_cache .mypy_cache .ruff_cache
