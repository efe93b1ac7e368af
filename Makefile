# Everything a contributor types. `make` alone lists it. `ARGS` reaches pytest: make test-unit ARGS="-k gate -x"
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

export PYTHON ?= python3
VENV := .venv
LOWEST := .venv-lowest
STAMP := $(VENV)/.installed
LOWEST_STAMP := $(LOWEST)/.installed
PY := $(VENV)/bin/python
ARGS ?=
JOBS ?= 2

.PHONY: help setup demo airflow test test-unit test-driver test-airflow test-kubernetes test-lowest check lint types layers format \
	test-cluster bench bench-driver bench-gate bench-catalog bench-import bench-spec bench-trigger bench-pod catalog constraints changelog clean \
	image image-base image-lock test-image

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv with everything in it (the other targets do this themselves)

$(STAMP): pyproject.toml tests/constraints/newest.txt .ci/install
	@.ci/install $(VENV) tests/constraints/newest.txt driver,test,dev
	@touch $@

$(LOWEST_STAMP): pyproject.toml tests/constraints/lowest.txt .ci/install
	@.ci/install $(LOWEST) tests/constraints/lowest.txt test --resolution lowest-direct
	@touch $@

demo: $(STAMP) ## one good and one bad model through the gate, under a real Airflow
	@$(PY) -m tests.support.demo

airflow: $(STAMP) ## a full Airflow with the example DAGs; prints address and login, Ctrl-C stops it
	@$(PY) -m tests.support.serve

test: $(STAMP) ## all tests, JOBS (2) at a time
	@$(PY) -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

test-unit: $(STAMP) ## the fast tests
	@$(PY) -m pytest tests/unit $(ARGS)

test-driver: $(STAMP) ## the driver, with real lm-eval runs
	@$(PY) -m pytest tests/driver $(ARGS)

test-airflow: $(STAMP) ## end to end, under a real Airflow
	@$(PY) -m pytest tests/airflow $(ARGS)

# What the driver needs is pinned exactly, so there is no lowest set of it.
test-kubernetes: $(STAMP) ## the Kubernetes backend on the test server
	@$(PY) -m pytest tests/kube tests/kube_backend tests/airflow/test_kubernetes.py $(ARGS)

# Its options are make's arguments, which reach it as environment variables: tests/cluster/options.py lists them.
test-cluster: $(STAMP) ## the same end to end on a cluster: KUBECONFIG=… IMAGE=… NAMESPACE=…; without them, on the test server
	@LMEVAL_TEST_CLUSTER=1 $(PY) -m pytest tests/cluster $(ARGS)

test-lowest: $(LOWEST_STAMP) ## unit and trigger tests with the lowest dependencies, in .venv-lowest
	@$(LOWEST)/bin/python -m pytest tests/unit --ignore tests/unit/driver $(ARGS)

check: lint types layers ## everything that needs no test run: style, types, layers

lint: $(STAMP)
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check

types: $(STAMP)
	@$(VENV)/bin/mypy

layers: $(STAMP)
	@$(VENV)/bin/lint-imports --no-logo --cache-dir build/import-linter

format: $(STAMP) ## format, and repair what can be repaired by itself
	@$(VENV)/bin/ruff format
	@$(VENV)/bin/ruff check --fix

bench: bench-import bench-spec bench-driver bench-gate ## all benchmarks, one JSON line each

bench-catalog: $(STAMP) ## reading the catalogue and looking a task up, against parsing its file
	@$(PY) -m tests.benchmarks.bench_catalog

bench-driver: $(STAMP) ## our driver against `lm-eval run`: wall time, and the same scores
	@$(PY) -m tests.benchmarks.bench_driver

bench-import: $(STAMP) ## what the public modules add to `import airflow.sdk`
	@$(PY) -m tests.benchmarks.bench_import

bench-gate: $(STAMP) ## how often the gate is wrong, simulated; and what a gate costs
	@$(PY) -m tests.benchmarks.bench_gate
	@$(PY) -m tests.benchmarks.bench_gate_size

bench-spec: $(STAMP) ## translating an LMEvalJob, and validating a thousand specs
	@$(PY) -m tests.benchmarks.bench_spec

bench-trigger: $(STAMP) ## what a triggerer pays for 400 and 1,000 runs on Kubernetes; KUBECONFIG chooses a real cluster
	@$(PY) -m tests.benchmarks.bench_trigger

bench-pod: $(STAMP) ## how soon a pod ends after its evaluation, and scores are in XCom; under a real Airflow
	@$(PY) -m tests.benchmarks.bench_pod

catalog: $(STAMP) ## regenerate the catalogue from the installed lm-eval
	@$(PY) -m airflow_provider_lmeval.catalog.generate

# Pins stay as they are unless they have to move; UPGRADE=1 moves the newest set. The lowest set is what a cautious
# installation of Airflow 3.1.0 looked like when it was new: later releases of what Airflow itself depends on break it, so only
# the Kubernetes provider, which is younger, and its own dependencies are exempt from the date.
PIN := $(VENV)/bin/uv pip compile pyproject.toml --quiet --no-annotate --python-version 3.11 \
	--custom-compile-command "make constraints"
AGE := --exclude-newer 2025-10-20 $(foreach name,cncf-kubernetes common-compat,\
	--exclude-newer-package apache-airflow-providers-$(name)=false) \
	--exclude-newer-package kubernetes=false --exclude-newer-package kubernetes-asyncio=false

constraints: $(STAMP) ## pin the newest and the lowest dependencies (UPGRADE=1 moves the newest)
	@$(PIN) --all-extras $(if $(UPGRADE),--upgrade) --output-file tests/constraints/newest.txt >/dev/null
	@$(PIN) --extra test --resolution lowest-direct $(AGE) --upgrade --output-file tests/constraints/lowest.txt >/dev/null

# The first engine that is installed. buildah needs no OCI runtime for chroot isolation, so it builds inside containers too.
ENGINE ?= $(firstword $(notdir $(foreach engine,docker podman buildah,$(shell command -v $(engine)))))
TARGET ?= cpu
VERSION_NOW = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' airflow_provider_lmeval/__init__.py)
IMAGE ?= localhost/airflow-provider-lmeval:$(VERSION_NOW)-$(TARGET)
IMAGE_FLAGS ?=
export BUILDAH_ISOLATION ?= chroot

image: ## build an image: TARGET=cpu|cuda|vllm|airflow ENGINE=docker|podman|buildah [BASE_IMAGE=…] [TORCH_LINKS=…]
	$(if $(ENGINE),,$(error neither docker nor podman nor buildah is installed))
	$(ENGINE) build --file docker/Dockerfile --target $(TARGET) --tag $(IMAGE) --build-arg VERSION=$(VERSION_NOW) \
		--build-arg REVISION=$(shell git rev-parse HEAD) --build-arg CREATED=$(shell git log -1 --format=%cI) \
		$(foreach name,BASE_IMAGE AIRFLOW_IMAGE EXTRAS TORCH_LINKS,$(if $($(name)),--build-arg $(name)=$($(name)))) $(IMAGE_FLAGS) .

image-base: ## where no registry can be reached: a stand-in for python:3.11-slim, for BASE_IMAGE (as root, with debootstrap)
	docker/debian-base localhost/lmeval-base:bookworm

image-lock: $(STAMP) ## pin what the images hold (UPGRADE=1 moves what the tests' constraints leave free)
	docker/requirements/lock $(abspath $(VENV)/bin/uv) $(if $(UPGRADE),--upgrade)

test-image: $(STAMP) image ## build the image, and evaluate in it: any user id, read-only root, no network
	@LMEVAL_TEST_IMAGE=$(IMAGE) LMEVAL_TEST_ENGINE=$(ENGINE) $(PY) -m pytest tests/image $(ARGS)

changelog: $(STAMP) ## show what the next release will say (VERSION=1.2.3 writes it)
	@$(VENV)/bin/towncrier build $(if $(VERSION),--yes --version $(VERSION),--draft --version next)

clean: ## remove what runs leave behind; the environments stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find airflow_provider_lmeval dags tests -name __pycache__ -type d -prune -exec rm -rf {} +
