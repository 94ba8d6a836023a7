# autoagent: two commands do all the set-up.
#   make run GOAL="..."    make the environment in .venv (once), then run the goal in workspace/
#   make test              the same environment with the developer tools, then the tests

ifeq ($(OS),Windows_NT)
$(error autoagent does not run on Windows yet: use Linux, macOS or WSL 2)
endif

# What was typed must arrive unchanged: make would expand "$5" in it, and run "$(shell ...)". $(value) is the
# text as typed, := keeps it from being expanded again, and the recipe reads it from the environment.
override GOAL := $(value GOAL)
override WORKSPACE := $(value WORKSPACE)
export GOAL WORKSPACE
# A goal may call make too: it must not inherit the variables of this call.
MAKEOVERRIDES =

# The first of these that is new enough makes the environment.
PYTHON ?= python3 python3.13 python3.12 python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

python = $(shell for each in $(PYTHON); do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$each && break; done)
has_venv = $(shell $(python) -c 'import ensurepip, venv' >/dev/null 2>&1 && echo yes)

.DEFAULT_GOAL := help
.PHONY: help run test lint format clean

help:
	@echo 'make run GOAL="..."   run a goal with the embedded model, in workspace/ or in WORKSPACE=folder'
	@echo 'make test             run the tests'
	@echo 'make lint             check the code with ruff and mypy'
	@echo 'make format           let ruff rewrite the code'
	@echo 'make clean            remove .venv, builds and caches, never workspace/ or .autoagent/'
	@echo
	@echo 'PYTHON=python3.12 picks the interpreter (3.11 or newer) that makes .venv.'

ifeq ($(strip $(GOAL)),)
run:
	$(error usage: make run GOAL="what you want done" [WORKSPACE=folder])
else
run: $(VENV)/.installed
	@mkdir -p -- "$${WORKSPACE:-workspace}"
	@$(BIN)/autoagent run "--goal=$$GOAL" "--workspace=$${WORKSPACE:-workspace}"
endif

test: $(VENV)/.installed-dev
	$(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(if $(python),,$(error autoagent needs Python 3.11 or newer, and found none as "$(PYTHON)": \
	install one, or name it with PYTHON=/path/to/python3))
	$(if $(has_venv),,$(error "$(python)" cannot make environments: install its venv module, \
	on Debian and Ubuntu with "sudo apt install python3-venv"))
	@echo 'Making the environment in $(VENV). This happens once and takes a few minutes.'
	@$(python) -m venv --clear $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@$(INSTALL) -e '.[dev]'
	@touch $(VENV)/.installed $@
