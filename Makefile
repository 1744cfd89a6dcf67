# `make` alone lists the tasks.
PYTHON ?= python3
export TORCH_INDEX

define setup
@command -v "$(PYTHON)" >/dev/null || { \
  echo "Python 3.11 or newer is needed, there is no $(PYTHON); install it or name one: make PYTHON=python3.12 lab" >&2; exit 1; }
@"$(PYTHON)" tools/venv.py
endef

.PHONY: tasks lab test venv notebooks site lint bench

tasks:
	@awk -F': *## *' '/^[a-z]+: *## / {print "make " $$1 "\t" $$2}' Makefile

lab: ## set up, copy what is missing into work/ and open JupyterLab there
	$(setup)
	@.venv/bin/posebook lab

test: ## every test, in one pytest run with two processes
	$(setup) dev
	@.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

venv: ## only set up, as a student has it; TORCH_INDEX=URL takes torch from there
	$(setup)

notebooks: ## rebuild the notebooks whose sources changed; ALL=1: all of them
	$(setup) dev
	@.venv/bin/python tools/build.py $(if $(ALL),--all)

site: ## build the web book into site/, from the notebooks as they are
	$(setup) site
	@.venv/bin/python tools/book.py

lint: ## ruff over everything, the notebooks' sources too
	$(setup) dev
	@.venv/bin/python -m ruff check

bench: ## posebook beside its peers, into benchmarks/RESULTS.md; QUICK=1: roughly, in two minutes
	$(setup) dev bench
	@.venv/bin/python benchmarks/run.py $(if $(QUICK),--quick)
