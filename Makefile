# `make` alone lists what there is. Everything lives in .venv; nothing else on the machine is needed but Python.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

venv := .venv
python := $(venv)/bin/python
runtime := $(venv)/runtime.stamp
development := $(venv)/development.stamp
benches := $(venv)/bench.stamp
inputs := pyproject.toml requirements/build.txt requirements/runtime.txt scripts/environment scripts/debian
sources := src examples tests bench

# Argosy's own bytecode is made here: PYTHONDONTWRITEBYTECODE would leave every process to compile it anew.
compile := env -u PYTHONDONTWRITEBYTECODE $(python) -m compileall -q src examples

# The data room looks where ARGOSY_DATA says; a folder that was named by hand stays.
with_dataset = [ -n "$${ARGOSY_DATA:-}" ] || export ARGOSY_DATA=$$(scripts/dataset)

.PHONY: help setup demo test check format bench bench-serving clean requirements

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(runtime) ## Make .venv with everything Argosy needs to run
	@echo "Ready: .venv/bin/argosy --help"

demo: $(runtime) ## Run the main job: raw images to a served ensemble, and ask it
	@$(compile)
	@$(with_dataset); $(python) examples/fashion_mnist/demo.py

test: $(development) ## Run all tests, quick ones first (PYTEST_ARGUMENTS="-k name" narrows them)
	@$(compile)
	@$(python) -m pytest $(PYTEST_ARGUMENTS) || { code=$$?; [ $$code = 5 ] || exit $$code; }

check: $(development) ## Lint, formatting, types and the layers of the rooms
	@failed=; \
	$(venv)/bin/ruff check $(sources) || failed=ruff; \
	$(venv)/bin/ruff format --check $(sources) || failed=format; \
	$(python) -m mypy || failed=mypy; \
	MYPYPATH=src:bench:examples/fashion_mnist $(python) -m mypy --explicit-package-bases bench examples \
		|| failed=mypy; \
	$(venv)/bin/lint-imports --no-logo || failed=layers; \
	[ -z "$$failed" ]

format: $(development) ## Put the code into the house format
	@$(venv)/bin/ruff check --fix-only $(sources)
	@$(venv)/bin/ruff format $(sources)

bench: $(benches) ## Run every benchmark, ours beside a baseline (takes about half an hour)
	@$(compile)
	@$(with_dataset); for file in bench/*.py; do $(python) "$$file"; done

bench-serving: $(benches) ## Measure serving beside its peers (installs them first; takes about half an hour)
	@$(compile)
	@bench/serving/install
	@for name in throughput cold_start overload spikes sharded limits; do bench/serving/run $$name; done

clean: ## Remove .venv and every cache (the home of your runs stays)
	rm -rf $(venv) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(sources) -name __pycache__ -type d -prune -exec rm -rf {} +

$(runtime): $(inputs)
	@scripts/environment requirements/runtime.txt
	@touch $@

$(development): $(inputs) requirements/development.txt
	@scripts/environment requirements/runtime.txt requirements/development.txt
	@touch $(runtime) $@

$(benches): $(inputs) requirements/bench.txt
	@scripts/environment requirements/runtime.txt requirements/bench.txt
	@touch $(runtime) $@

compile_requirements = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links

requirements: ## Pin the newest versions pyproject.toml allows (needs uv)
	@command -v uv >/dev/null || { echo "error: uv is not installed"; echo "hint: pip install uv"; exit 2; } >&2
	$(compile_requirements) --upgrade --group build --output-file requirements/build.txt
	$(compile_requirements) --upgrade --extra tensorflow pyproject.toml --output-file requirements/runtime.txt
	$(compile_requirements) --upgrade --group development --constraint requirements/runtime.txt \
		--output-file requirements/development.txt
	$(compile_requirements) --upgrade --group bench --constraint requirements/runtime.txt \
		--output-file requirements/bench.txt
	@for file in bench/serving/requirements/*.in; do \
		$(compile_requirements) --upgrade --output-file "$${file%.in}.txt" "$$file"; \
	done
	@! grep -n '://' requirements/*.txt bench/serving/requirements/*.txt
