# `make` lists what can be made. Everything is installed into .venv, nothing elsewhere.
#
#   PYTHON       the interpreter that makes .venv
#   TORCH_INDEX  another package index for torch, used when .venv is made, such as
#                https://download.pytorch.org/whl/cpu for the build without CUDA
#   DEMO         where `make demo` and `make demo-train` write
PYTHON ?= python3
TORCH_INDEX ?=
DEMO ?= demo

VENV := .venv
BIN := $(VENV)/bin
# Work with what is installed: no look-up of a newer pip at every call.
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo demo-train test lint format docs web build clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.has-demo ## edit photographs with the shipped model; open demo/index.html
	$(BIN)/cdvae-gan demo --out $(DEMO)

demo-train: $(VENV)/.has-train ## train on drawn avatars and compare with their true counterfactuals
	$(BIN)/cdvae-gan demo-train --out $(DEMO)

test: $(VENV)/.has-dev ## run the tests
	$(BIN)/python -m pytest

lint: $(VENV)/.has-dev ## check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.has-dev ## mend style and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.has-docs ## build the documentation into site/
	$(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"

web: $(VENV)/.has-web ## make the live demo, docs/live; the docs show it once it is there
	$(BIN)/cdvae-gan export celeba64 --web docs/live --overwrite

build: $(VENV)/.has-dev ## build the wheel and the source archive into dist/
	$(BIN)/python -m build

clean: ## remove what was made, but not .venv
	rm -rf build dist site demo .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove .venv as well
	rm -rf $(VENV)

# One stamp for each extra: installed once, and again after pyproject.toml has changed.
$(VENV)/.has-%: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable ".[$*]"
	@touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
