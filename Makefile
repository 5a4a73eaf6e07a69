# Every target makes its own environment first, once: a fresh Debian 12 with Python 3.11, pip and make is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check --quiet
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help serve test endurance chaos check format fuzz bench lock conformance clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

# `--without-pip` needs no ensurepip, which Debian ships apart from Python; pip installs into the environment from outside.
$(VENV)/.runtime: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PYTHON) scripts/link_project.py $(BIN)/python
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

serve: $(VENV)/.runtime ## Run the gateway on http://127.0.0.1:8080 (embedded state, built-in mock provider)
	@$(BIN)/gateway serve

test: $(VENV)/.dev ## Run the tests (COVERAGE=1: the same, with what `make check COVERAGE=1` asks of coverage)
ifdef COVERAGE
	@$(BIN)/python scripts/coverage_run.py
	@$(BIN)/python -m pytest -n auto --dist loadgroup --unmeasured
else
	@$(BIN)/python -m pytest -n auto --dist loadgroup
endif

chaos: $(VENV)/.dev ## Break upstreams and networks at full size: every fault 200 times, 10,000 kills (about a quarter of an hour)
	@$(BIN)/python -m pytest tests/failures -m endurance

endurance: $(VENV)/.dev ## Run the load and fault tests at full size, one after the other (about a quarter of an hour)
	@$(BIN)/python -m pytest tests/endurance tests/conformance -m endurance

QUICK := bridges http importing providers registry routing telemetry

quick: $(VENV)/.dev ## Run, in less than two minutes, the tests that start no processes or few
	@$(BIN)/python -m pytest -n auto --dist loadgroup -m 'not slow and not endurance' \
	  $(addprefix tests/,$(QUICK)) --ignore=tests/http/admin

check: $(VENV)/.dev ## Lint, format, types, layers, sizes, then the tests with branch coverage
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python scripts/check_sizes.py
ifndef COVERAGE
	@$(BIN)/python scripts/coverage_run.py
endif

format: $(VENV)/.dev ## Rewrite the sources in the house format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

fuzz: $(VENV)/.dev ## Fuzz, guided by coverage, everything that reads what providers and clients send (some minutes)
	@$(PIP) install --require-hashes -r requirements-fuzz.lock
	@$(BIN)/python scripts/fuzz.py

bench: $(VENV)/.dev ## Measure the gateway against its peers, side by side (needs wrk and nginx)
	@$(BIN)/python -m bench

lock: $(VENV)/.dev ## Resolve the dependencies again and write the hashed locks
	@$(BIN)/python scripts/lock.py

clean: ## Remove the environment and every generated file
	rm -rf $(VENV) .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
