# Everything needs only make and Python 3.11. Each target sets up its own virtual environment first.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
OUTPUT ?= out
# constraints-cuda.txt for GPUs.
CONSTRAINTS ?= constraints.txt

# Pinned down to build requirements; no bytecode of other checkouts, no version nagging.
export PIP_CONSTRAINT := $(CURDIR)/$(CONSTRAINTS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-slow test-faults test-faults-short test-longest test-browser test-services pictures lint format bench chaos train-embedded evaluate-embedded clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  \1\t/' | expand -t 22

$(VENV)/.installed: pyproject.toml constraints.txt $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed  ## Render examples/demo.parquet with the embedded model into ./out
	$(BIN)/nightreel render examples/demo.parquet --output $(OUTPUT)

test: $(VENV)/.installed-dev  ## Lint, type-check and run the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q

test-slow: $(VENV)/.installed-dev  ## Run the tests that take longer
	$(BIN)/python -m pytest -q -m "slow and not longest"

test-faults: $(VENV)/.installed-dev  ## Run the tests that kill actors, nodes and drivers
	$(BIN)/python -m pytest -q -m "faults and not longest"

test-longest: $(VENV)/.installed-dev  ## Run those of both that take longest, which no landing waits for
	$(BIN)/python -m pytest -q -m longest

test-browser: $(VENV)/.installed-dev  ## Open the report in a headless Chromium, which must be there
	NIGHTREEL_NEEDS_CHROMIUM=1 $(BIN)/python -m pytest -q -m browser

test-services: $(VENV)/.installed-dev  ## Run the tests that need programs from elsewhere, such as Prometheus
	$(BIN)/python -m pytest -q -m services

pictures: $(VENV)/.installed-dev  ## Photograph a night shift: terminal, Ray's dashboard, Grafana's panels
	$(BIN)/python -m tests.pictures $(OUTPUT)/pictures

lint: $(VENV)/.installed-dev  ## Lint and type-check only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed-dev  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev  ## Run the benchmarks; each writes its table to its README
	$(BIN)/python -m benchmarks.seams
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.actors
	$(BIN)/python -m benchmarks.recovery
	$(BIN)/python -m benchmarks.exchange
	$(BIN)/python -m benchmarks.efficiency
	$(BIN)/python -m benchmarks.fleet
	$(BIN)/python -m benchmarks.night
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.decode
	$(BIN)/python -m benchmarks.long
	$(BIN)/python -m benchmarks.batching

FAULTS ?= 40
SEED   ?= 0
chaos: $(VENV)/.installed-dev  ## Kill actors, nodes and drivers at random (FAULTS=40 SEED=0)
	$(BIN)/python -m benchmarks.chaos --faults $(FAULTS) --seed $(SEED)

MINUTES ?= 100
train-embedded: $(VENV)/.installed-dev  ## Train the embedded model (MINUTES=100 a piece)
	$(BIN)/python -m jobs.embedded train --minutes $(MINUTES)

SCENES ?= 100
evaluate-embedded: $(VENV)/.installed-dev  ## Render held-out captions, judge them, write a table and a grid
	$(BIN)/python -m jobs.embedded evaluate --scenes $(SCENES) $(OUTPUT)/evaluation

clean:  ## Remove what make built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
