# Everything a developer types. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What the tests were last seen to pass with; pyproject.toml has the lower bounds.
PIP := PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST := $(BIN)/pytest
SALIENCY := $(BIN)/saliency

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'saliency needs Python 3.11 or newer: make PYTHON=python3.11 …' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamps make a repeated call quick: pip runs again only when pyproject.toml has changed.
$(VENV)/.installed-project: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-development: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --editable '.[samples,test,lint]'
	@touch $@ $(VENV)/.installed-project

.PHONY: install develop
install: $(VENV)/.installed-project ## Install the project into .venv
develop: $(VENV)/.installed-development ## Install the project and its tools into .venv

.PHONY: calibration
calibration: develop ## Find the default limits of a check anew (half an hour)
	cd benchmarks/calibration && rm -f found.jsonl && ../../$(BIN)/python measure.py found.jsonl
	$(BIN)/python benchmarks/calibration/report.py

.PHONY: shapes
shapes: develop ## Measure every method where the truth is known (minutes)
	$(BIN)/python benchmarks/methods_on_shapes.py

.PHONY: demo
demo: install ## Draw the maps of the sample pictures into out/demo
	$(SALIENCY) compute sample_models/shapes.keras sample_images/*.png \
		--class-names sample_models/shapes.txt --out out/demo --overwrite

.PHONY: test test-fast test-slow faults faults-real
test: develop ## Run the tests in two processes, the slow ones left out
	$(PYTEST) -m 'not slow' --numprocesses 2 --dist loadfile

test-fast: develop ## Run the same in parallel, up to the first failure
	$(PYTEST) -m 'not slow' --numprocesses auto --exitfirst

test-slow: develop ## Run the slow tests
	$(PYTEST) -m slow

faults: develop ## Kill, starve and interrupt runs, and count it (an hour)
	$(PYTEST) -m 'not real_model' tests/faults

faults-real: develop ## The same with TensorFlow at work (MOMENTS=6: half an hour; else hours)
	$(PYTEST) -m real_model tests/faults

PEERS := $(basename $(notdir $(wildcard tests/peers/requirements/*.txt)))

.PHONY: test-peers
test-peers: develop $(PEERS:%=.peers/%/.installed) ## Compare with other packages, each in an environment of its own
	$(PYTEST) -m peers tests/peers
	$(BIN)/python tests/peers/write_page.py

# Every package is pinned, and no dependency resolved: some peers ask for versions that they do without.
.peers/%/.installed: tests/peers/requirements/%.txt
	$(PYTHON) -m venv --clear .peers/$*
	.peers/$*/bin/python -m pip --quiet --disable-pip-version-check install --no-deps --requirement $<
	@touch $@

.PHONY: lint types layers docs format check
lint: develop ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: develop ## Check types
	$(BIN)/mypy

layers: develop ## Check which room imports which
	$(BIN)/lint-imports

docs: develop ## Write the generated pages of docs/
	$(BIN)/python docs/build.py

format: develop ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint types layers test ## All that must pass before a commit

.PHONY: bench
bench: develop ## Measure speed and memory
	$(BIN)/python benchmarks/run.py

.PHONY: clean
clean: ## Remove what the tools leave behind; .venv and out stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
