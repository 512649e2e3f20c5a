# `make demo` and `make test` set everything up themselves; a second call installs nothing again.
SUPPORTED := python3 python3.12 python3.13 python3.11
PYTHON ?= $(shell for p in $(SUPPORTED); do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
DEMO := build/demo
READERS := build/readers
MONAI_LABEL := build/monai_label
# A worker for each core, at most four: each takes up to 4 GB of memory.
PYTEST := $(BIN)/python -m pytest --numprocesses=logical --maxprocesses=4
# How much of the judges' matrix is tested: pairs or full (tests/integration/matrix.py); CI takes full.
MATRIX ?= pairs
export OSTEOMAP_MATRIX = $(MATRIX)
# How many damaged files make fuzz reads; CI takes 3000.
MUTANTS ?= 10000

# The container: what builds it (docker, podman, buildah), from what, as what, with which bundles, for which processor.
BUILDER ?=
BASE_IMAGE ?=
VARIANT ?= cpu
BUNDLES ?=
OSTEOMAP_MAP_TAG ?=
MAP := $(BIN)/python -W ignore -m monai_app.packaging
MAP_OPTIONS = --variant $(VARIANT) $(if $(BUNDLES),--bundles $(BUNDLES)) $(if $(OSTEOMAP_MAP_TAG),--tag $(OSTEOMAP_MAP_TAG)) \
	$(if $(BASE_IMAGE),--base-image $(BASE_IMAGE)) $(if $(BUILDER),--builder $(BUILDER))

.PHONY: help setup demo test test-fast viewer-test readers monai-label fuzz lint clean map map-context map-base map-test
help:
	@echo "make demo              set up, run on phantoms, open build/demo/output/report.html"
	@echo "make demo INPUT=DIR    the same on your own DICOM files"
	@echo "make test              set up, lint, type check, test; make test MATRIX=full is what CI runs"
	@echo "make test-fast         the unit tests: no start of the application, no training, no validators"
	@echo "make viewer-test       results in Chromium: the report page and the OHIF viewer (Orthanc, Chromium, npm)"
	@echo "make readers           set up programs that clients read with, for the tests: dcmqi, cornerstone, ... (npm)"
	@echo "make monai-label       set up MONAI Label, which serves the models to 3D Slicer: docs/monai_label.md"
	@echo "make fuzz              10,000 damaged files through the chain; the figures go to build/reliability.md"
	@echo "make map               the container image; BASE_IMAGE, BUILDER, BUNDLES, VARIANT, OSTEOMAP_MAP_TAG: docs/packaging.md"
	@echo "make map-context       only what it is built from, in build/map"
	@echo "make map-test          build it without Docker and run it as a platform does (root, buildah, podman, runc)"
	@echo "make lint              ruff and mypy only"

setup: $(INSTALLED)

$(INSTALLED): constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; name it: make setup PYTHON=/path/to/python" >&2; exit 2; }
	@echo "Setting up .venv with $$($(PYTHON) --version): about 3 GB are downloaded, 6.5 GB installed."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip setuptools
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation --editable ".[app,training,test]"
	@$(BIN)/python -c pass # holoscan links its libraries when Python starts for the first time
	@touch $@

demo: setup
ifdef INPUT
	$(BIN)/python -m monai_app -i "$(INPUT)" -o $(DEMO)/output
else
	@rm -rf $(DEMO)
	$(BIN)/python -m training.demo write $(DEMO)/input
	$(BIN)/python -m monai_app -i $(DEMO)/input -o $(DEMO)/output
	@$(BIN)/python -m training.demo check $(DEMO)/output
endif

test: setup lint
	$(PYTEST) -m "not (viewer or image)"

test-fast: setup
	$(PYTEST) -m "not (slow or external or readers or monai_label or shared_data or viewer or image)"

viewer-test: setup
	$(PYTEST) tests/viewer

readers: $(READERS)/.installed

$(READERS)/.installed: tests/readers/requirements.txt tests/readers/package-lock.json | $(INSTALLED)
	$(BIN)/python -m venv --clear $(READERS)/venv
	$(READERS)/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	cp tests/readers/package.json tests/readers/package-lock.json $(READERS)
	npm ci --prefix $(READERS) --ignore-scripts --no-audit --no-fund --silent
	@touch $@

monai-label: $(MONAI_LABEL)/.installed

# An environment on top of .venv: what is installed here comes first, all else is found there.
$(MONAI_LABEL)/.installed: training/monai_label/requirements.txt | $(INSTALLED)
	$(BIN)/python -m venv --clear $(MONAI_LABEL)
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> "$$($(MONAI_LABEL)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/osteomap.pth"
	$(MONAI_LABEL)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

fuzz: setup
	@mkdir -p build
	$(BIN)/python -m tests.fuzz.figures $(MUTANTS) > build/reliability.md

map: setup
	$(MAP) build $(MAP_OPTIONS)

map-context: setup
	$(MAP) context $(MAP_OPTIONS)

# A base image of Debian 12, for machines that have no registry of images.
map-base:
	sh tests/image/debian_base.sh localhost/debian-python:bookworm

map-test: setup map-base
	STORAGE_DRIVER=overlay $(MAP) build --builder buildah --base-image localhost/debian-python:bookworm --tag localhost/osteomap:test
	STORAGE_DRIVER=overlay OSTEOMAP_MAP_TAG=localhost/osteomap:test $(BIN)/python -m pytest tests/image

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv build
