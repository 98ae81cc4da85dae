# make survival and make test are all a user needs; both set up .venv first when it is missing or stale.
PYTHON ?= python3
CORES ?= $(shell nproc)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: survival study test lint bench clean

survival: .venv/stamp  ## results/figs/survival.png, with every stage that it needs
	snakemake --resources gpu=1 --cores $(CORES) results/figs/survival.png

study: .venv/stamp  ## every figure and table of the families' study, studies/families.yaml
	snakemake --configfile studies/families.yaml --resources gpu=1 --cores $(CORES) all

test: .venv/stamp lint  ## linters, types and all tests
	python -m pytest

lint: .venv/stamp
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules
	mypy
	snakemake --lint > /dev/null

bench: .venv/stamp  ## ratios, measured side by side in one run
	snakemake --cores $(CORES) --quiet all results/models/smollm2
	python bench/engine.py

clean:
	rm -rf .venv results/* && git checkout -- results

.venv/stamp: requirements.txt
	rm -rf .venv
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@
