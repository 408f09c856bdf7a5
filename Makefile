# Two commands are all there is to know: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export TOKENIZERS_PARALLELISM = false

.PHONY: run test test-long check bench demo starter lock clean

run: $(STAMP)  ## the application
	@$(BIN)/workbench

test: $(STAMP)  ## the tests, offline, but those that train for minutes
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 -m "not long"

test-long: $(STAMP)  ## every test
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2

check: $(STAMP)  ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)  ## every benchmark, as ratios
	$(BIN)/python -m bench

demo: $(STAMP)  ## story 5 from start to end, without a screen
	$(BIN)/workbench demo

starter: $(STAMP)  ## train the shipped model again from scratch
	OMP_NUM_THREADS=2 $(BIN)/python -m engine.starter.build

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("Workbench needs Python 3.11 or newer: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

lock:  ## write down what is installed, after it was tested
	$(BIN)/python -m pip freeze --exclude-editable --all | sed -E 's/^torch==([0-9.]+)\+.*/torch==\1/' > requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info
