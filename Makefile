# PYTHON=… chooses the interpreter that .venv is made with (3.11 or newer).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?=
SECONDS ?= 60
NOTEBOOK ?= notebooks/00-first-steps.ipynb
BIN := .venv/bin
EXECUTED := build/$(notdir $(NOTEBOOK))
PYTHON_FILES := runtime kernel extension/cellstack_lab extension/hatch_build.py tests notebooks
FRONT_END := $(shell find extension/src extension/style extension/schema -type f -not -path '*/__tests__/*') \
    extension/package.json extension/yarn.lock

.PHONY: help demo test lab fuzz bench scorecard carry-table lint format vm clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.installed-demo ## install, build the image, run the first notebook with every cell in a container
	@tests/setup/demo.sh $(NOTEBOOK) $(EXECUTED)

test: ## install what tests need and run them all
	@PYTHON="$(PYTHON)" tests/setup/run-tests.sh

lab: .venv/.installed-demo ## open JupyterLab on the notebooks
	@$(BIN)/cellstack lab notebooks

scorecard: .venv/.installed-test ## run the suites of ipykernel, nbclient and jupyter_kernel_test with this kernel and with ipykernel
	@$(BIN)/python -m pytest tests/conformance

fuzz: .venv/.installed-test ## let atheris look for what no container and no front end may do, SECONDS for each of the targets
	@$(BIN)/python -m tests.fuzz $(SECONDS)

bench: .venv/.installed-test ## measure cells and containers beside their peers; build/bench.json
	@tests/setup/peers.sh bench
	@$(BIN)/python -m tests.benchmarks.bench --output build/bench.json

carry-table: ## run what the table of ARCHITECTURE.md is about, in an environment of its own, and write it anew
	@PYTHON="$(PYTHON)" tests/setup/carry-table.sh

lint: .venv/.installed-test ## ruff, mypy --strict, import-linter; prettier, tsc, eslint
	@tests/setup/lint.sh $(PYTHON_FILES)
	@tests/setup/front-end.sh lint:check

format: .venv/.installed-test ## let ruff format and fix the code
	@$(BIN)/ruff format --exclude '*.ipynb' $(PYTHON_FILES)
	@$(BIN)/ruff check --exclude '*.ipynb' --fix $(PYTHON_FILES)
	@tests/setup/front-end.sh lint

vm: .venv/.installed-test ## run the tests that need pure cgroup v2, in QEMU
	@tests/setup/vm.sh

clean: ## remove everything that make has made in this folder
	rm -rf extension/{node_modules,lib,labextension,coverage,.yarn,.eslintcache,tsconfig.build.tsbuildinfo}
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find runtime kernel extension tests notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made:
	@tests/setup/venv.sh .venv "$(PYTHON)"

.venv/.installed-%: .venv/.made pyproject.toml $(FRONT_END)
	@echo "Installing cellstack[$*] and what it needs into .venv (building JupyterLab's panel, where it is new, takes a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
