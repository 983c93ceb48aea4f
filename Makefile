SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Idle threads that spin take the cores from whoever works.
export OMP_WAIT_POLICY ?= PASSIVE
# Tests start hundreds of processes, each of which would compile our modules again where this is set.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3.11
STATE ?= .state
TREEBANK ?=
TORCH_INDEX ?=
LABEL_STUDIO := label-studio==1.23.2
VENV := .venv
PY := $(VENV)/bin/python
PIP := -m pip --disable-pip-version-check -qq install
QUICK := not slow and not e2e and not browser
PURE := tests/ris_core tests/demo $(addprefix tests/backend/,base settings label_studio local) tests/test_architecture.py tests/test_errors.py
CORES := 2
# Of all tests together: two of them wait much, for Label Studio and the browser.
PROCESSES := 3

# SSE 4 at most for torch, oneDNN, OpenBLAS, OpenCV and numpy: sums are made in another order than with AVX2 or AVX-512.
OLD_PROCESSOR := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OPENBLAS_CORETYPE=Nehalem OPENCV_CPU_DISABLE=AVX,AVX2,AVX512-SKX,FP16 \
  NPY_DISABLE_CPU_FEATURES="AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"

# Stamps: a second run of any target finds everything in place and is quick.
DEPENDENCIES := $(VENV)/.dependencies
PRODUCT := $(VENV)/.product
TOOLS := $(VENV)/.tools
STUDIO := .venv-ls/.label-studio

.PHONY: help dependencies install demo up down hooks lint check units coverage test test-portable docs measure tune demo-train programs chromium postgres image-folders image-check

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-13s %s\n", $$1, $$2}'

dependencies: $(DEPENDENCIES) ## what the product needs, in .venv; TORCH_INDEX=address for another build of torch

install: $(PRODUCT) ## the product in .venv, with the command `ris`

demo: $(PRODUCT) $(STUDIO) ## everything from nothing: Label Studio with 12 scenes, connected; then says where to look
	@$(PY) -m demo.up --state-dir $(STATE)

up: $(PRODUCT) ## Redis, a worker and the backend, for a Label Studio of yours (LABEL_STUDIO_URL, LABEL_STUDIO_API_KEY)
	@RIS_STATE_DIR=$(STATE) $(PY) -m backend up

down: ## stop exactly what `make demo` or `make up` started
	@if [ -x $(PY) ]; then RIS_STATE_DIR=$(STATE) $(PY) -m backend down; else echo "Nothing is installed, so nothing runs."; fi

hooks: $(TOOLS) ## the checks of .pre-commit-config.yaml before each commit
	$(VENV)/bin/pre-commit install

lint: $(TOOLS) ## style, types and spelling
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/codespell
	$(VENV)/bin/mypy

check: lint ## style, types, and the tests that need no database or server: under a minute
	$(PY) -m pytest -q -n $(CORES) -m "$(QUICK)" $(PURE)

units: $(TOOLS) ## all tests but those with processes of their own, Label Studio or a browser
	$(PY) -m pytest -q -n $(CORES) -m "$(QUICK)"

coverage: $(TOOLS) ## branch coverage of what `make units` runs; fails below the floor in pyproject.toml
	$(PY) -m pytest -q -n $(CORES) -m "$(QUICK)" --cov

test: ## everything that runs without a GPU or a model hub: real Redis, Label Studio and browser
	@$(MAKE) --no-print-directory -j lint $(STUDIO) programs
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(PROCESSES) --durations=10

test-portable: $(TOOLS) ## unit tests as on a processor of 2008: what is computed must not hang on the instructions it is computed with
	$(OLD_PROCESSOR) $(PY) -m pytest -q -n $(CORES) -m "$(QUICK) and not gpu"

docs: $(TOOLS) ## write the generated tables of the docs anew
	$(VENV)/bin/cog -r README.md docs/engineers/performance.md docs/engineers/settings.md docs/developers/architecture.md docs/developers/glossary.md

measure: $(PRODUCT) ## the demo models on 300 scenes they were not trained on, as the model card states it
	$(PY) -m demo.measure

tune: $(PRODUCT) ## fit the calibrator of the demo profile again; needed after its weights change
	@$(PY) -m demo.tune_guided

demo-train: $(TOOLS) ## train the demo models again, resumable: at most 4 h on 2 cores; TREEBANK=folder of UD English EWT
	@if [ -z "$(TREEBANK)" ]; then echo "Say where UD English EWT is: make demo-train TREEBANK=folder"; exit 2; fi
	$(PY) -m demo.train_sam --threads 1 & sam=$$!; \
	$(PY) -m demo.train_clip --threads 1 && $(PY) -m demo.train_parser --treebank "$(TREEBANK)" && wait $$sam

image-folders:
	mkdir -p .image/data .image/models

image-check: $(TOOLS) ## lint the image and its compose file, and run the lines of the Dockerfile in a clean folder: minutes, 6 GB
	$(PY) tests/docker/run_lines.py

programs: # one after the other: apt runs once at a time
	@$(MAKE) --no-print-directory chromium
	@$(MAKE) --no-print-directory postgres

chromium: ## Chromium for the browser tests: where this is root on Debian, else the one that is there
	@if command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Chromium …"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	else echo "No Chromium, and no right to install it: the browser tests will be skipped. Remedy: apt install chromium"; fi

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found. Install Python 3.11, or give its path: make PYTHON=PATH $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# TORCH_INDEX: torch and torchvision from there; what requirements.txt asks for is then in place.
$(DEPENDENCIES): requirements.txt requirements-secure.txt | $(VENV)/bin/python
	@echo "Installing what the product needs into $(VENV): some minutes, once …"
	$(if $(TORCH_INDEX),$(PY) $(PIP) --index-url "$(TORCH_INDEX)" $$(grep -oE '^torch(vision)?==[0-9.]+' requirements.txt))
	$(PY) $(PIP) -r requirements.txt
	$(PY) $(PIP) --no-deps --no-warn-conflicts -r requirements-secure.txt
	@touch $@

$(PRODUCT): $(DEPENDENCIES) pyproject.toml
	$(PY) $(PIP) --no-deps --editable .
	@touch $@

$(TOOLS): requirements-dev.txt $(PRODUCT)
	$(PY) $(PIP) -r requirements-dev.txt
	@touch $@

# In an environment of its own: 160 packages, some of them in other versions than ours.
$(STUDIO): Makefile
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found. Install Python 3.11, or give its path: make PYTHON=PATH $(MAKECMDGOALS)"; exit 2; }
	@echo "Installing $(LABEL_STUDIO) into .venv-ls: a minute or two, once …"
	@test -x .venv-ls/bin/python || $(PYTHON) -m venv .venv-ls
	.venv-ls/bin/python $(PIP) $(LABEL_STUDIO)
	@touch $@

postgres: ## PostgreSQL for tests: where this is root on Debian, else the one that is there
	@if command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing PostgreSQL …"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null; \
	else echo "No PostgreSQL, and no right to install it: its tests will be skipped. Remedy: apt install postgresql"; fi
