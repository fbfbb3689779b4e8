SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# What one of the many processes of the tests has compiled, the others read.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help setup check lint lint-types lint-imports lint-style test test-unit test-integration test-e2e test-faults demo up down bench docs docker-smoke

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest
# The tiers in the order in which a failure is cheapest to find: without sockets on every processor; on real servers in two
# processes, each with a Kafka and a mongod, that mostly wait; and what tells, breaks or measures a stack with the machine to
# itself.
QUICK_TIERS := tests/unit tests/architecture tests/contract
REAL_TIERS := tests/integration
ALONE_TIERS := tests/stories tests/e2e tests/faults tests/bench
AT_ONCE := -n auto --dist worksteal
IN_PAIRS := -n 2 --dist loadgroup
# Tiers that are not there yet are left out; none at all is an error, not a success.
tiers = $(or $(wildcard $(1)),$(error none of $(1) is there yet))

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z0-9 -]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## Make the virtual environment and install the `vigil` command
	@:
$(STAMP): requirements.lock pyproject.toml
	@deploy/local/install.sh "$(PYTHON)" "$(VENV)"
	@touch $@

check: lint ## Import contracts, lint, format, types, file sizes
	$(PYTEST) -q $(call tiers,tests/architecture)

lint: $(STAMP) # what needs no test, two at a time: types take the longest, so they begin
	@$(MAKE) --no-print-directory -j2 -Otarget lint-types lint-imports lint-style
lint-types:
	$(BIN)/mypy
lint-imports:
	$(BIN)/lint-imports
lint-style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test: lint ## Everything that CI runs, on a real Kafka and a real MongoDB
	$(BIN)/vigil setup
	$(PYTEST) $(AT_ONCE) $(call tiers,$(QUICK_TIERS))
	$(PYTEST) $(IN_PAIRS) $(call tiers,$(REAL_TIERS))
	$(PYTEST) $(call tiers,$(ALONE_TIERS))

test-unit: $(STAMP) ## Rules, architecture and contracts: no sockets, no servers
	$(PYTEST) $(AT_ONCE) $(call tiers,$(QUICK_TIERS))

test-integration: $(STAMP) ## Adapters and the local stack on real servers
	$(PYTEST) $(IN_PAIRS) $(call tiers,$(REAL_TIERS))

test-e2e: $(STAMP) ## Stories through all processes; with FAST=1 on the embedded stack only, in seconds
	$(PYTEST) $(if $(FAST),-m "not real_stack") $(call tiers,tests/stories tests/e2e)

test-faults: $(STAMP) ## Processes killed and frozen on purpose
	$(PYTEST) $(call tiers,tests/faults)

demo: $(STAMP) ## From an answer to a ringing phone, live
	@$(BIN)/vigil demo

up: $(STAMP) ## Start the whole stack on this machine
	@$(BIN)/vigil up

down: $(STAMP) ## Stop it
	@$(BIN)/vigil down

bench: $(STAMP) ## Measure Vigil against a bare chain, in one run
	@$(BIN)/vigil bench

docs: $(STAMP) ## Write docs/reference/ from the code
	$(BIN)/python -m deploy.reference

docker-smoke: $(STAMP) ## Build the images, start docker-compose.yml, one crisis, its page, nothing left; STAND_INS=1 without a registry
	@$(BIN)/python -m deploy.compose.smoke_command $(if $(STAND_INS),--stand-ins)
