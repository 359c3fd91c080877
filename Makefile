# Two commands: `make repro` and `make test`. Both make .venv first, once, and refresh it when the
# requirements change; after that neither needs the network.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REPORT := reports/report.html

# Stages run `python`, which must be the environment's.
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONHOME PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help repro test verify benchmark venv clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

repro: $(VENV)/.requirements ## run the pipeline, as far as it is not up to date: `dvc repro`
	$(BIN)/dvc repro
	@echo "The report: $(REPORT)"

test: $(VENV)/.requirements-dev ## linters, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses 2

verify: $(VENV)/.requirements ## rerun what is not up to date, in a copy, and compare with what is committed
	$(BIN)/python -m verification $(ARGS)

benchmark: $(VENV)/.requirements ## time training against the textbook; leave the machine alone meanwhile
	$(BIN)/python -m benchmarks

venv: $(VENV)/.requirements-dev ## only make the environment; then `. .venv/bin/activate`

clean: ## remove the environment, nothing else
	rm -rf $(VENV)

# pip is the last thing that venv installs: where it is, the environment is whole.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	  "Python 3.11 or newer is needed, $(PYTHON) is %d.%d: make PYTHON=... names another" \
	  % sys.version_info[:2])'
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)

$(VENV)/.requirements: requirements.txt | $(BIN)/pip
	$(BIN)/pip install --disable-pip-version-check --quiet --requirement requirements.txt
	@touch $@

$(VENV)/.requirements-dev: requirements-dev.txt requirements-jax.txt requirements-ray.txt \
  $(VENV)/.requirements
	$(BIN)/pip install --disable-pip-version-check --quiet --requirement requirements-dev.txt
	@touch $@
