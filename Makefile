# make survival and make test are all a user needs; both set up .venv first when it is missing or stale.
PYTHON ?= python3
CORES ?= $(shell nproc)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

BROWSERS := chromium chromium-browser google-chrome google-chrome-stable chrome

.PHONY: survival study report test lint bench scale browser clean

survival: .venv/stamp  ## results/figs/survival.png, with every stage that it needs
	snakemake --resources gpu=1 --cores $(CORES) results/figs/survival.png

study: .venv/stamp  ## every figure and table of the families' study, studies/families.yaml
	snakemake --configfile studies/families.yaml --resources gpu=1 --cores $(CORES) all

report: .venv/stamp  ## results/report.html: every figure, table and text of the study on one page; OVERLAY="--configfile ..."
	snakemake $(OVERLAY) --resources gpu=1 --cores $(CORES) all
	snakemake $(OVERLAY) --cores 1 --report results/report.html --report-stylesheet report/style.css all

test: .venv/stamp browser lint  ## linters, types and all tests, in two processes of one thread each
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/stamp
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules
	mypy
	snakemake --lint > /dev/null

browser:  ## Chromium for the tests that open pages: an installed one, else Debian's package if root can install it
	@for name in $(CHROMIUM) $(BROWSERS); do command -v $$name > /dev/null && exit 0; done; \
	test "$$(id -u)" != 0 || ! command -v apt-get > /dev/null || \
	{ apt-get update && apt-get install --yes --no-install-recommends chromium; }

bench: .venv/stamp  ## ratios, measured side by side in one run
	snakemake --cores $(CORES) --quiet all results/models/smollm2
	python bench/engine.py

scale: .venv/stamp  ## every table and figure of a simulated study of 3456 trajectories x 4096 tokens
	python bench/scale.py

clean:
	rm -rf .venv results/* && git checkout -- results

.venv/stamp: requirements.txt
	rm -rf .venv
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@
