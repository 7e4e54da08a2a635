# Everything here works from a fresh clone; a second run is quick. `make` alone says what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help demo test conformance check fast format lint types coverage image bench lock clean

# The interpreter to use, when it is not the newest that is found: make PYTHON=python3.12 demo
export PYTHON

BIN := .venv/bin
STAMPS := .venv/stamps
NODE := tests/clients/node
FAST := tests/unit tests/contract tests/docs
# Files stay together until a worker has none left; each worker starts gateways and providers of its own.
SPREAD := --dist worksteal -n
# Each of the workers would start as many threads as there are cores.
export OPENBLAS_NUM_THREADS ?= 1
# Every worker and every gateway that a test starts would compile what it imports, anew.
unexport PYTHONDONTWRITEBYTECODE

help:
	@echo "make demo    install, then see it work offline: simulated models, real questions, a savings report"
	@echo "make test    install, then run every test but those of conformance"
	@echo "make test ARGS='-k sentence'   some of them; ARGS goes to pytest"
	@echo "make check   format, lint, types, import contracts, fast tests: under two minutes"
	@echo "make format  bring the source into its form, and mend what the linter can mend"
	@echo "make lint, make types, make fast   the parts of make check, which runs them beside each other"
	@echo "make coverage   make test, and which lines of the source it ran; build/coverage has pages of them"
	@echo "make conformance   install, then what takes long: real clients at length, a browser"
	@echo "make image   build the container image with docker"
	@echo "make bench   how to measure it"
	@echo "make lock    pin every dependency anew"
	@echo "make clean   remove what these commands made"

demo: $(STAMPS)/run
	@$(BIN)/farthing demo $(ARGS)

test: $(STAMPS)/clients
	@$(BIN)/python -m pytest $(SPREAD) auto $(ARGS)

# Of each of these `make test` runs a fixed sample, and fewer examples of properties that name no number.
conformance: $(STAMPS)/conformance
	@$(BIN)/python -m pytest -m conformance $(ARGS)
	@$(BIN)/python -m pytest $(SPREAD) auto -m "hypothesis and not conformance" --hypothesis-profile "at length" $(ARGS)

# Beside each other: the tests wait now and then, and most of the type checker's time is spent on one core.
check: $(STAMPS)/dev
	@$(MAKE) --no-print-directory --jobs=3 lint types fast

fast: $(STAMPS)/dev
	$(BIN)/python -m pytest $(SPREAD) logical -p no:schemathesis -m "not slow and not conformance" $(wildcard $(FAST))

lint: $(STAMPS)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(STAMPS)/dev
	$(BIN)/mypy

format: $(STAMPS)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What the gateways ran that tests start counts too: each process writes a file of its own.
coverage: $(STAMPS)/clients
	@rm -rf build/coverage
	@mkdir -p build/coverage
	@failed=0; $(BIN)/coverage run -m pytest $(SPREAD) auto $(ARGS) || failed=$$?; \
	$(BIN)/coverage combine --quiet; \
	$(BIN)/coverage html --quiet; \
	$(BIN)/coverage report; exit $$failed

image:
	docker build --tag farthing .

bench:
	@echo "docs/performance.md says what is measured, against what, and how to repeat it."
	@echo "The gateway it measures:  $(BIN)/farthing serve --config benchmarks/gateway.toml --port 8951"

lock:
	tools/lock.sh

clean:
	rm -rf $(NODE)/node_modules
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment for both: what checks includes what runs.
$(STAMPS)/run: pyproject.toml constraints.txt
	@tools/install.sh constraints.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: pyproject.toml constraints.txt constraints-dev.txt
	@tools/install.sh constraints-dev.txt
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/run

# The clients that are no packages of Python.
$(STAMPS)/clients: $(STAMPS)/dev $(NODE)/package.json $(NODE)/package-lock.json
	@tools/install_clients.sh
	@touch $@

$(STAMPS)/conformance: $(STAMPS)/clients
	@tools/install_clients.sh conformance
	@touch $@
