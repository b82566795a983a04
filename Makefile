# The few commands a person types. Each is a thin call of snakemake or pytest: `make -n TARGET` shows it.
PYTHON ?= python3
CORES ?= all
PROFILE ?= local
CONFIG ?= config/config.yaml
BIN := .venv/bin
# Jobs that share a GPU of this machine: small networks leave much of a large one idle.
JOBS_PER_GPU ?= 1
GPUS := $(shell nvidia-smi --list-gpus 2>/dev/null | grep --count '^GPU')
GPU_LIMIT = --resources gpu=$$(($(GPUS) * $(JOBS_PER_GPU))) --default-resources jobs_per_gpu=$(JOBS_PER_GPU)
SNAKEMAKE = $(BIN)/snakemake --workflow-profile workflow/profiles/$(PROFILE) --cores $(CORES) \
	$(if $(filter local,$(PROFILE)),$(if $(filter-out 0,$(GPUS)),$(GPU_LIMIT)))
RUN = $(BIN)/python -m frugalseg.runtime.run $(STUDY) -- $(wordlist 2,99,$(SNAKEMAKE))
STUDY = $(shell sed -n 's/^study: *//p' $(CONFIG))

.PHONY: help setup demo study fetch plan test test-cluster lint docs bench clean
.DEFAULT_GOAL := help

help: ## these lines
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/'

setup: .venv/ready ## create .venv with the pinned requirements

.venv/ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

.venv/dev-ready: .venv/ready requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-dev.lock
	touch $@

demo: setup ## run the demo and say where its report is
	$(MAKE) --no-print-directory study CONFIG=config/config.yaml

study: setup ## run a study: make study CONFIG=config/studies/real.yaml [PROFILE=slurm] [CORES=n]
	@$(RUN) --configfile $(CONFIG)
	@$(MAKE) --no-print-directory results/$(STUDY)/report.html CONFIG=$(CONFIG)
	@echo "The answers of the study $(STUDY): results/$(STUDY)/answers.html"
	@echo "All of its report: results/$(STUDY)/report.html"

# The report embeds tables and figures. Make it again when one of them is newer.
results/$(STUDY)/report.html: $(wildcard results/$(STUDY)/answers.html results/$(STUDY)/tables/* results/$(STUDY)/figures/*)
	@$(SNAKEMAKE) --configfile $(CONFIG) --report $@ >results/$(STUDY)/logs/report.txt 2>&1 || { cat results/$(STUDY)/logs/report.txt; false; }

fetch: setup ## what a study needs from elsewhere, and nothing else: make fetch CONFIG=config/studies/published.yaml
	@$(RUN) fetch --configfile $(CONFIG)

# With another profile a job measures how fast its machine is, unless the profile has a file that says so.
SPEEDS = $(wildcard workflow/profiles/$(PROFILE)/throughput.json)
plan: setup ## what a study would cost: models, steps, hours, disk and jobs
	$(if $(SPEEDS)$(filter local,$(PROFILE)),,$(SNAKEMAKE) --configfile $(CONFIG) results/$(STUDY)/throughput.json)
	$(BIN)/python -m frugalseg.plan $(CONFIG) $(SPEEDS)
	$(SNAKEMAKE) --configfile $(CONFIG) --dry-run --quiet rules

# Tests of one file share what is slow to set up.
test: .venv/dev-ready ## the tests
	$(BIN)/pytest --numprocesses auto --dist loadfile

test-cluster: .venv/dev-ready ## the study on a throw-away Slurm cluster (as root, Slurm installed)
	$(BIN)/pytest tests/cluster -rs

lint: .venv/dev-ready ## ruff, snakefmt, Snakemake's own linter, hadolint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/hadolint Dockerfile

docs: setup ## docs/config.md from the classes that check the config
	$(BIN)/python -m frugalseg.study.reference

bench: .venv/dev-ready ## our speed beside the peers'
	$(BIN)/python benchmarks/run.py --scaling --keep speed

clean: ## take away the environment; results stay
	rm -rf .venv .snakemake/scripts
