# make survival and make test are all a user needs; both set up .venv first when it is missing or stale.
PYTHON ?= python3
CORES ?= $(shell nproc)
CASES ?= 20  # of test-crash: 100 damages, 180 kills, and more
OVERLAY ?=  # of the config, for every target that runs the workflow: make survival OVERLAY="--configfile mine.yaml"
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
RUN = --cores $(CORES) --resources gpu=1
# With steerdose's own logger, which snakemake finds there.
SNAKEMAKE = PYTHONPATH="$(CURDIR)/workflow_scripts" snakemake --logger steerdose
TARGET ?= results/figs/survival.png

BROWSERS := chromium chromium-browser google-chrome google-chrome-stable chrome

.PHONY: survival plan dose study ablations subspaces report overlay generated test test-crash test-image test-slurm lint pins bench scale browser clean

survival: .venv/stamp overlay  ## results/figs/survival.png, with every stage that it needs
	$(SNAKEMAKE) $(OVERLAY) $(RUN) -- results/figs/survival.png

plan: .venv/stamp overlay  ## jobs, tokens, time and GiB that TARGET needs, after a short measurement; runs none of it
	$(SNAKEMAKE) $(OVERLAY) $(RUN) -- speed
	$(SNAKEMAKE) -n $(OVERLAY) $(RUN) -- $(TARGET)

dose: .venv/stamp  ## which dose of a vector of yours: make dose VECTOR=mine.gguf MODEL=smollm2 [BEHAVIOR=...] [LAYERS=10-20]
	@PYTHONPATH=workflow_scripts python -m steerdose.my_vector --cores $(CORES) --vector "$(VECTOR)" --model "$(MODEL)" \
	--behavior "$(or $(BEHAVIOR),honesty)" --layers "$(LAYERS)"

study: OVERLAY = --configfile studies/families.yaml
study: .venv/stamp overlay  ## every figure and table of a study, by default of the families', studies/families.yaml
	$(SNAKEMAKE) $(OVERLAY) $(RUN) -- all

ablations: OVERLAY = --configfile studies/ablations.yaml
ablations: .venv/stamp overlay  ## which parts of trained deltas carry the behavior: results/tables/ablations.html, and its figures
	$(SNAKEMAKE) $(OVERLAY) $(RUN) -- all

subspaces: OVERLAY = --configfile studies/subspaces.yaml
subspaces: .venv/stamp overlay  ## what directions known before training hold of a delta: results/tables/subspace_claims.html
	$(SNAKEMAKE) $(OVERLAY) $(RUN) -- all

report: .venv/stamp overlay  ## results/report.html: every figure, table and text of the study on one page
	$(SNAKEMAKE) $(OVERLAY) $(RUN) -- all
	snakemake $(OVERLAY) --cores 1 --report results/report.html --report-stylesheet report/style.css -- all

overlay:  # snakemake answers a missing file with a traceback
	@for file in $(filter %.yaml %.yml %.json,$(OVERLAY)); do test -f "$$file" || \
	{ echo "OVERLAY: there is no file '$$file'; here are $$(ls *.yaml studies/*.yaml | tr '\n' ' ')"; exit 2; }; done

generated: .venv/stamp  ## files that are made from others: entry scripts, docs/tables.md, docs/layout.md, captions of tables
	PYTHONPATH=workflow_scripts python -m steerdose.generated

test: .venv/extras browser lint  ## linters, types and all tests, in two processes of one thread each
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-crash: .venv/stamp  ## drawn damages, kills, full disks and clocks, 11 of each of CASES, each in a study of its own: an hour or two
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist load tests/workflow/test_crash.py --cases $(CASES)

test-slurm: .venv/stamp  ## a study through a real Slurm on this machine, as root: installs Debian's packages
	apt-get update -qq && apt-get install --yes -qq --no-install-recommends slurm-wlm munge
	python -m pip install --quiet --disable-pip-version-check -r requirements-slurm.txt
	python -m pytest -v tests/slurm

test-image: .venv/stamp  ## the image, and a small study in it, as root: installs Debian's packages
	apt-get update -qq && apt-get install --yes -qq --no-install-recommends buildah debootstrap
	python -m pytest -v tests/image

lint: .venv/stamp
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules
	mypy
	PYTHONPATH=workflow_scripts python -m steerdose.generated --check
	snakemake --lint > /dev/null
	python envs/vulnerabilities.py

pins: .venv/stamp  ## newer versions in requirements.txt and envs/*.yaml, by pip's own resolver; then make test
	python envs/pins.py

browser:  ## Chromium for the tests that open pages: an installed one, else Debian's package if root can install it
	@for name in $(CHROMIUM) $(BROWSERS); do command -v $$name > /dev/null && exit 0; done; \
	test "$$(id -u)" != 0 || ! command -v apt-get > /dev/null || \
	{ apt-get update && apt-get install --yes --no-install-recommends chromium; }

bench: .venv/stamp  ## ratios, measured side by side in one run
	snakemake --cores $(CORES) --quiet all -- results/models/smollm2
	python bench/engine.py
	python bench/growth.py --out results
	python bench/plan.py
	python bench/tasks.py
	python bench/ablations.py
	python bench/design.py

scale: .venv/stamp  ## every table and figure of a simulated study of 3456 trajectories x 4096 tokens
	python bench/scale.py

clean:
	rm -rf .venv results/* && git checkout -- results

.venv/extras: .venv/stamp requirements-lm-eval.txt requirements-quantized.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-lm-eval.txt -r requirements-quantized.txt
	touch $@

.venv/stamp: requirements.txt
	rm -rf .venv
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@
