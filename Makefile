# Two commands: `make repro` and `make test`. Both make .venv first, once, and refresh it when the
# requirements change; after that neither needs the network.

PYTHON ?= python3
# requirements-lock.txt is the whole dependency tree, with hashes.
REQUIREMENTS ?= requirements.txt
VENV := .venv
BIN := $(VENV)/bin
REPORT := reports/report.html

# Stages run `python`, which must be the environment's.
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONHOME PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help repro test docs verify benchmark venv dev lock clean

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

docs: $(VENV)/.requirements-dev ## build the documentation site, _site/index.html
	$(BIN)/python -m documentation.parameters
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky --conf-dir docs \
	  $(SPHINXFLAGS) . _site
	@echo "The documentation: _site/index.html"

verify: $(VENV)/.requirements ## rerun what is not up to date, in a copy, and compare with what is committed
	$(BIN)/python -m verification $(ARGS)

benchmark: $(VENV)/.requirements ## time training against the textbook; leave the machine alone meanwhile
	$(BIN)/python -m benchmarks

venv: $(VENV)/.requirements ## only make the environment; then `. .venv/bin/activate`

dev: $(VENV)/.requirements-dev ## the same, with what tests and documentation need

lock: $(VENV)/.requirements-dev ## resolve requirements.txt anew into requirements-lock.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  --output-file requirements-lock.txt requirements.txt

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
	$(BIN)/pip install --disable-pip-version-check --quiet --requirement $(REQUIREMENTS)
	@touch $@

$(VENV)/.requirements-dev: requirements-dev.txt requirements-docs.txt requirements-jax.txt \
  requirements-ray.txt $(VENV)/.requirements
	$(BIN)/pip install --disable-pip-version-check --quiet --requirement requirements-dev.txt
	@touch $@
