# A fresh machine needs Python >= 3.11 and make; every target makes the environment it runs in.
#
#   make demo          the same program on every store, side by side     (DEMO_REPO=path for another git history, DEMO_ARGS=--quick)
#   make test          the tests, on every server that can be started    (TESTS=path, PYTEST_ARGS=…, WORKERS=2)
#   make check         format, lint, types, walls, generated code
#   make conformance   one line a rule, one column a store
#   make differential  random programs on all stores                     (N=5000 SEED=7)
#   make bench         dbkit beside the bare driver and what people use   (BENCH_ARGS=--quick)
#   make bench-instructions | docs | wheel | sync-code | format | lock | hooks | clean

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
BENCH_VENV ?= .venv-bench
BENCH_ARGS ?=
BIN := $(VENV)/bin
# The first of these that is new enough; set PYTHON to choose another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
N ?= 500
SEED ?= 7
TESTS ?=
PYTEST_ARGS ?=
# Each has servers of its own; WORKERS=0 runs all in one process.
WORKERS ?= 2
SOURCES := $(wildcard dbkit backends tests examples tools bench docs/tools)

.PHONY: help venv demo test check mypy format conformance differential bench bench-instructions docs wheel sync-code lock hooks clean

help:
	@sed -n 's/^#   //p' Makefile

# Two stamps: what the lock file pins, and dbkit itself in place (its entry points follow pyproject.toml).
venv: $(VENV)/.installed

$(VENV)/.locked: requirements-dev.lock
	@test -n "$(PYTHON)" || { echo "dbkit needs Python 3.11 or newer: none found; set PYTHON=/path/to/python3"; exit 1; }
	@if ! test -x $(BIN)/python; then \
		echo "==> making $(VENV) with $$($(PYTHON) --version)"; \
		$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
			echo "this Python has no working venv module (on Debian and Ubuntu: apt install python3-venv)"; exit 1; }; \
	fi
	@echo "==> installing $$(grep -c '==' requirements-dev.lock) pinned packages into $(VENV) (a minute or so, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-script-location -r requirements-dev.lock
	@touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	@echo "==> installing dbkit in place"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: venv
	@$(BIN)/python examples/compare_backends.py $(DEMO_ARGS)

test: venv
	$(BIN)/python -m pytest --numprocesses $(WORKERS) $(PYTEST_ARGS) $(TESTS)

check: venv
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(MAKE) --no-print-directory mypy
	$(BIN)/basedpyright --warnings
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/unasync.py --check

mypy: venv
	$(BIN)/mypy $(SOURCES)

format: venv
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

sync-code: venv
	$(BIN)/python tools/unasync.py

conformance: venv
	@$(BIN)/python -m dbkit.testing conformance --markdown docs/conformance.md

differential: venv
	@$(BIN)/python -m dbkit.testing differential --n $(N) --seed $(SEED)

# The peers have an environment of their own, so that a developer's stays small. BENCH_ARGS: --quick; --docs writes the docs'
# page, its pictures and the README's table, too; --stores sqlite; `python -m bench --help` has the rest.
bench: $(BENCH_VENV)/.installed
	@$(BENCH_VENV)/bin/python -m bench $(BENCH_ARGS)

# Counts instructions with valgrind and compares them with the baseline of this Python, platform and lock file.
bench-instructions: $(BENCH_VENV)/.installed
	@$(BENCH_VENV)/bin/python -m bench.instructions $(BENCH_ARGS)

$(BENCH_VENV)/.locked: requirements-bench.lock
	@test -n "$(PYTHON)" || { echo "dbkit needs Python 3.11 or newer: none found; set PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	@echo "==> installing $$(grep -c '==' requirements-bench.lock) pinned packages into $(BENCH_VENV) (a minute or so, once)"
	@$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-warn-script-location -r requirements-bench.lock
	@touch $@

$(BENCH_VENV)/.installed: $(BENCH_VENV)/.locked pyproject.toml
	@$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Warnings are fatal. The statements that pages show need servers: docs/tools/statements.py, held by a test.
docs: venv
	@$(BIN)/python docs/tools/flags.py
	@$(BIN)/python docs/tools/commands.py
	$(BIN)/zensical build --clean --strict

wheel: venv
	$(BIN)/python -m build --no-isolation

# uv resolves for all supported Pythons and platforms at once; no index or path goes into the file.
# UPGRADE=1 takes the newest versions, else what is pinned stays where it still fits.
lock:
	@test -x $(BIN)/uv || $(MAKE) venv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --group dev --no-annotate \
		$(if $(UPGRADE),--upgrade) --custom-compile-command "make lock" --output-file requirements-dev.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --group bench --no-annotate \
		$(if $(UPGRADE),--upgrade) --custom-compile-command "make lock" --output-file requirements-bench.lock pyproject.toml

hooks: venv
	$(BIN)/pre-commit install

clean:
	rm -rf $(VENV) $(BENCH_VENV) build dist site .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
