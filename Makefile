# `make help` lists the targets. Everything that a target needs it installs itself: Debian packages through apt, the rest from the lock files.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
VENV := .venv
PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest
TESTBED := $(PY) -m tests.testbed
STORE_IMAGE := tests/testbed/images/secrets-manager
export PYTHONPATH := operator:.

.DEFAULT_GOAL := help

.PHONY: help
help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

$(VENV)/.installed: requirements-dev.lock pyproject.toml
	@echo "• install the Python dependencies (once per lock file, about a minute)"
	@python3 -c 'import ensurepip, venv' 2>/dev/null || (apt-get update -qq && apt-get install -y -qq python3-venv)
	@python3 -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

.PHONY: venv
venv: $(VENV)/.installed  ## the Python environment of this checkout

.PHONY: demo
demo: venv  ## from nothing to a cluster with the LMS backed up, verified and restored
	@$(PY) -m tests.e2e.demo

.PHONY: cluster
cluster: venv  ## a local Kubernetes cluster (see docs/development-cluster.md)
	@$(TESTBED) up

.PHONY: cluster-down
cluster-down: venv  ## remove it, with all that is in it
	@$(TESTBED) down

.PHONY: test
test: test-fast test-service test-cluster  ## everything: unit, service, cluster and e2e tests

.PHONY: test-fast
test-fast: venv  ## unit tests, seconds
	@$(PYTEST) -q --numprocesses=2 tests/unit

.PHONY: test-service
test-service: venv  ## adapters and workers against real PostgreSQL and a real S3 server
	@$(TESTBED) build
	@$(PYTEST) -q --durations=10 --numprocesses=3 --dist=loadscope --no-loadscope-reorder tests/service

.PHONY: test-cluster
test-cluster: venv  ## the operator in three real clusters, and the whole stories
	@rm -rf build/audit
	@$(TESTBED) build
	@$(PYTEST) -q --durations=20 --numprocesses=3 --dist=loadscope --no-loadscope-reorder tests/cluster tests/e2e
	@$(PYTEST) -q tests/permissions

.PHONY: bench
bench: venv  ## the operator beside a no-op operator; table and build/bench.json
	@$(PY) -m tests.bench

.PHONY: show-backup
show-backup: venv  ## backups at 1 GB beside other tools, and 200 kills; ends with one line of JSON
	@$(TESTBED) build
	@$(PY) -m tests.bench.backups

.PHONY: show-rotation
show-rotation: venv  ## 100 rotations under load, the runbook's way, and kills at every step; ends with one line of JSON
	@$(TESTBED) build
	@$(PY) -m tests.bench.rotations

.PHONY: show-scaling
show-scaling: venv  ## how soon calendar and database are followed, noise, a class with and without prewarm; ends with one line of JSON
	@$(TESTBED) build
	@$(PY) -m tests.bench.scaling

.PHONY: check
check: venv  ## formatting, linters, types, layers, generated files
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-cache
	@$(MAKE) --no-print-directory generate
	@git diff --exit-code --stat -- crds manifests chart docs || (echo "generated files are stale: commit what 'make generate' wrote" && false)

.PHONY: generate
generate: venv  ## crds/, manifests/ and the tables in docs/ from their sources
	@$(PY) -m tests.unit.install.generated

.PHONY: lock
lock: venv  ## the lock files anew from pyproject.toml
	@$(PY) -m pip install --quiet uv
	@$(VENV)/bin/uv pip compile pyproject.toml --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q --upgrade -o requirements.lock
	@$(VENV)/bin/uv pip compile pyproject.toml --group dev --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q --upgrade -o requirements-dev.lock
	@$(VENV)/bin/uv pip compile $(STORE_IMAGE)/requirements.in --constraint requirements-dev.lock --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q --upgrade -o $(STORE_IMAGE)/requirements.lock
