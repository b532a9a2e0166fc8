# make demo    run recipes/quickstart.py              ARGS="--help" passes flags
# make test    run the tests                          ARGS="-k losses"
# make test-smoke   a few of each of those left out there, as .ci/run does
# make test-lowest  with the lowest versions in pyproject.toml, on Python 3.11
# make test-all     all there are, an hour on two cores; or one part:
# make test-whole        those of `make test`, of whole networks
# make test-slow         those of many steps; two runs killed ten times each
# make test-distributed  those of TensorFlow's strategies
# make test-fuzz         12,000 damaged files for all loaders
# make test-browser      the page of `noisyfer demo` in Chromium
# make test-jax          those of the JAX backend
# make dist    build the wheel and the source archive, and check both
# make lint    check the code with ruff and mypy
# make docs    build the documentation's site into build/site
# make tutorials  run the notebooks in docs/tutorials anew, ten minutes
# make clean   remove the virtual environments and the caches
#
# The first run of a target creates its virtual environment, which takes some
# minutes. PYTHON=python3.12 chooses the Python it is made with.

ENV_DEMO := .venv-demo
ENV_TEST := .venv-test
ENV_DOCS := .venv-docs
ENV_LOWEST := .venv-lowest
ENVS := $(ENV_DEMO) $(ENV_TEST) $(ENV_DOCS) $(ENV_LOWEST)
ARGS ?=

export KERAS_BACKEND ?= tensorflow
export MPLBACKEND ?= Agg
export TF_CPP_MIN_LOG_LEVEL ?= 2
# Off by default on processors without AVX-512 VNNI or AMX, and faster on all.
export TF_ENABLE_ONEDNN_OPTS ?= 1
# Without bytecode each process compiles TensorFlow anew, for 12 seconds.
unexport PYTHONDONTWRITEBYTECODE

PYTEST := $(ENV_TEST)/bin/python -m pytest
PARALLEL := -n auto --dist worksteal
ALL := test-whole test-slow test-distributed test-fuzz test-browser test-jax

.PHONY: demo test test-smoke test-lowest test-all $(ALL) dist docs tutorials \
  lint clean
.DEFAULT_GOAL := test

demo: $(ENV_DEMO)/installed
	@$(ENV_DEMO)/bin/python recipes/quickstart.py $(ARGS)

test: $(ENV_TEST)/installed
	@$(PYTEST) $(PARALLEL) $(ARGS)

# XLA compiles each function for minutes where it optimises; the cache keeps
# what it has compiled.
JAX := KERAS_BACKEND=jax XLA_FLAGS=--xla_backend_optimization_level=0 \
  JAX_COMPILATION_CACHE_DIR=$(CURDIR)/.jax-cache \
  JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0

test-smoke: $(ENV_TEST)/installed
	@$(PYTEST) $(PARALLEL) -m "smoke and (slow or distributed or browser)" \
	  tests/command_line tests/comparison tests/distributed tests/models \
	  tests/networks tests/properties tests/recipes tests/resume \
	  tests/serving tests/test_docs.py tests/test_wheel.py tests/tuning
	@$(JAX) $(PYTEST) $(PARALLEL) -m "smoke and not slow" tests/backends \
	  tests/models

test-lowest: $(ENV_LOWEST)/installed
	@$(ENV_LOWEST)/bin/python -m pytest $(PARALLEL) $(ARGS)

# One after the other.
test-all:
	@for each in $(ALL); do $(MAKE) --no-print-directory $$each || exit; done

test-whole: $(ENV_TEST)/installed
	@$(PYTEST) $(PARALLEL) --whole $(ARGS)

test-slow: $(ENV_TEST)/installed
	@$(PYTEST) $(PARALLEL) --whole -m slow $(ARGS)

test-distributed test-fuzz test-browser: test-%: $(ENV_TEST)/installed
	@$(PYTEST) --whole -m "$* and not jax" $(ARGS)

# What holds on every backend, and what is JAX's own.
test-jax: $(ENV_TEST)/installed
	@$(JAX) $(PYTEST) -n auto --dist loadfile --whole \
	  -m "jax or not (slow or distributed)" tests/backends \
	  tests/distributed tests/layers tests/models/test_faults.py \
	  tests/models/test_golden_step.py tests/test_losses.py \
	  tests/test_metrics.py \
	  tests/resume/test_resume.py::test_goes_on_bit_for_bit $(ARGS)

lint: $(ENV_TEST)/installed
	@$(ENV_TEST)/bin/python -m ruff check .
	@$(ENV_TEST)/bin/python -m ruff format --check .
	@$(ENV_TEST)/bin/python -m mypy keras_noisyfer noisyfer

dist: $(ENV_TEST)/installed
	@rm -rf build dist
	@$(ENV_TEST)/bin/python -m build --no-isolation --outdir dist .
	@$(ENV_TEST)/bin/python -m twine check --strict dist/*

# The pages of the API are read from the sources; nothing of them is run.
docs: $(ENV_DOCS)/installed
	@NO_MKDOCS_2_WARNING=1 $(ENV_DOCS)/bin/python -m mkdocs build --strict \
	  --quiet $(ARGS)

tutorials: $(ENV_TEST)/installed
	@$(ENV_TEST)/bin/python docs/notebooks.py $(ARGS)

clean:
	rm -rf $(ENVS) .jax-cache build dist *.egg-info
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find keras_noisyfer noisyfer recipes tests -name __pycache__ -prune \
	  -exec rm -rf {} +

# ---------------------------------------------------- virtual environments --

$(ENV_DEMO)/installed: PACKAGE := --editable .
$(ENV_TEST)/installed: PACKAGE := --editable \
  .[audit,crowd,demo,dev,export,faces,jax,tune]
$(ENV_DOCS)/installed: PACKAGE := --requirement docs/requirements.txt
$(ENV_LOWEST)/installed: PACKAGE := --constraint build/lowest.txt \
  --editable .[audit,crowd,dev,export,faces,tune]

# The releases of Python that the bounds in pyproject.toml can be installed on.
IS_SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
CANDIDATES := python3 python3.13 python3.12 python3.11 python

ifndef PYTHON
PYTHON := $(shell for python in $(CANDIDATES); do \
  "$$python" -c "$(IS_SUPPORTED)" 2>/dev/null && echo "$$python" && break; \
  done)
endif

# `installed` is written last and holds what the environment was made for, so
# one that was interrupted, made by another Python or moved is made anew.
MADE_FOR := $(shell "$(PYTHON)" -c "import sys; \
  print(sys.version.split()[0], sys.base_prefix)" 2>/dev/null) $(CURDIR)
STALE := $(foreach env,$(ENVS),$(shell \
  [ "$$(cat $(env)/installed 2>/dev/null)" = "$(MADE_FOR)" ] \
  && [ -x $(env)/bin/python ] || echo $(env)/installed))

.PHONY: $(STALE)

$(ENV_DEMO)/installed $(ENV_TEST)/installed: pyproject.toml
$(ENV_DOCS)/installed: docs/requirements.txt
$(ENV_LOWEST)/installed: pyproject.toml .ci/lowest | build/lowest.txt

build/lowest.txt: pyproject.toml .ci/lowest
	@mkdir -p build
	@"$(PYTHON)" .ci/lowest > $@

$(ENVS:=/installed):
	@[ -n "$(PYTHON)" ] || { echo "error: Python 3.11, 3.12 or 3.13 is needed\
	 and not on PATH; name one with PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c "$(IS_SUPPORTED)" 2>/dev/null || { echo "error: Python\
	 3.11, 3.12 or 3.13 is needed, but PYTHON=$(PYTHON) is" \
	 "$$("$(PYTHON)" --version 2>&1 || :)" >&2; exit 1; }
	@"$(PYTHON)" -c "import ensurepip, venv" 2>/dev/null || { echo "error:\
	 $(PYTHON) cannot create virtual environments (on Debian and Ubuntu:\
	 apt-get install python3-venv)" >&2; exit 1; }
	@echo "Installing $(PACKAGE) into $(@D), some minutes the first time" >&2
	@rm -rf $(@D)
	@"$(PYTHON)" -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --no-compile $(PACKAGE)
	@# What is imported is compiled once, not by each process at its start.
	@[ $(@D) = $(ENV_DOCS) ] \
	  || $(@D)/bin/python -c "import keras_noisyfer.callbacks" 2>/dev/null
	@echo "$(MADE_FOR)" > $@
