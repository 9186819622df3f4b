# make demo, make test: everything from an empty machine with Python >= 3.10. Nothing outside this
# folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete

.PHONY: help setup demo demo-shipped test wheels lint site mutants fuzz audit clean-demo

help:  ## show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP)  ## create the environment in .venv

$(STAMP): requirements.txt constraints.txt pyproject.toml third_party/d2wheel/d2wheel.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and \
	    "Python 3.10 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --progress-bar on -r requirements.txt
	touch $@

demo: setup  ## draw data, train a small model, evaluate it and draw what it sees: about 10 minutes
	$(BIN)/python tools/demo.py

demo-shipped: setup  ## the same with the trained model that comes with the package: about a minute
	$(BIN)/python tools/demo.py --shipped

test: setup  ## run all tests
	$(BIN)/python -m pytest -q -rs

wheels: setup  ## build the wheels of the package and of Detectron2 into dist/
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist . ./third_party/d2wheel

lint: setup  ## check style, formatting and layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

site: setup  ## build the pages as a site in site/; a broken link ends it
	$(BIN)/python -W ignore -m sphinx -E -q -W --keep-going -c docs -d build/doctrees . build/html
	rm -rf site
	cp -r build/html site

mutants: setup  ## check that the tests notice mistakes: 250 at random, half an hour
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutants/run.py --sample 250

# Of nine forms of files together.
SECONDS ?= 600
FIRST ?= $(shell date +%s)

fuzz: setup  ## try mutated files: COCO, exports, images; ten minutes, or SECONDS=60
	for files in coco exports images; do \
	    OMP_NUM_THREADS=1 PYTHONPATH=.:tests $(BIN)/python tests/fuzz/fuzz_$$files.py \
	        --first $(FIRST) --count 1000000 --seconds $$(($(SECONDS) / 9)) || exit 1; \
	done

audit:  ## look the pinned dependencies up in PyPI's advisories; needs the internet
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	build/audit/bin/pip-audit --no-deps --disable-pip -r constraints.txt

clean-demo:  ## forget the demo's data and model
	rm -rf datasets/shapes output/shapes
