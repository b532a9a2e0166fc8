# make demo    run recipes/quickstart.py              ARGS="--help" passes flags
# make test    run the tests                          ARGS="-k losses"
# make test-slow    those left out there; two runs killed ten times each
# make test-distributed   the tests of TensorFlow's strategies
# make test-fuzz          12,000 damaged files for all loaders
# make test-browser       the page of recipes/demo.py in Chromium
# make test-jax           the tests on the JAX backend
# make lint    check the code with ruff
# make clean   remove the virtual environments and the caches
#
# The first run of a target creates its virtual environment, which takes some
# minutes. PYTHON=python3.12 chooses the Python it is made with.

ENV_DEMO := .venv-demo
ENV_TEST := .venv-test
ENV_JAX := .venv-jax
ARGS ?=

export KERAS_BACKEND ?= tensorflow
export MPLBACKEND ?= Agg
export TF_CPP_MIN_LOG_LEVEL ?= 2
# Off by default on processors without AVX-512 VNNI or AMX, and faster on all.
export TF_ENABLE_ONEDNN_OPTS ?= 1

.PHONY: demo test test-slow test-distributed test-fuzz test-browser test-jax lint clean
.DEFAULT_GOAL := test

demo: $(ENV_DEMO)/installed
	@$(ENV_DEMO)/bin/python recipes/quickstart.py $(ARGS)

test: $(ENV_TEST)/installed
	@$(ENV_TEST)/bin/python -m pytest -n auto --dist worksteal $(ARGS)

test-slow: $(ENV_TEST)/installed
	@$(ENV_TEST)/bin/python -m pytest -n auto --dist worksteal -m slow $(ARGS)

test-distributed: $(ENV_TEST)/installed
	@$(ENV_TEST)/bin/python -m pytest -m "distributed and not jax" $(ARGS)

test-fuzz: $(ENV_TEST)/installed
	@$(ENV_TEST)/bin/python -m pytest -m fuzz $(ARGS)

test-browser: $(ENV_TEST)/installed
	@$(ENV_TEST)/bin/python -m pytest -m browser $(ARGS)

# What holds on every backend, and what is JAX's own. XLA compiles each
# function for minutes where it optimises; the cache keeps what it has compiled.
test-jax: export KERAS_BACKEND := jax
test-jax: export XLA_FLAGS := --xla_backend_optimization_level=0
test-jax: export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/.jax-cache
test-jax: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS := 0
test-jax: $(ENV_JAX)/installed
	@$(ENV_JAX)/bin/python -m pytest -n auto --dist loadfile \
	  -m "not slow and (jax or not distributed)" tests/backends \
	  tests/distributed tests/layers tests/models/test_faults.py \
	  tests/models/test_golden_step.py tests/test_losses.py \
	  tests/test_metrics.py \
	  tests/resume/test_resume.py::test_goes_on_bit_for_bit $(ARGS)

lint: $(ENV_TEST)/installed
	@$(ENV_TEST)/bin/python -m ruff check .
	@$(ENV_TEST)/bin/python -m ruff format --check .

clean:
	rm -rf $(ENV_DEMO) $(ENV_TEST) $(ENV_JAX) .jax-cache build dist *.egg-info
	rm -rf .pytest_cache .ruff_cache
	find keras_noisyfer recipes tests -name __pycache__ -prune \
	  -exec rm -rf {} +

# ---------------------------------------------------- virtual environments --

$(ENV_DEMO)/installed: PACKAGE := .
$(ENV_TEST)/installed: PACKAGE := .[audit,crowd,demo,dev,export,tune]
$(ENV_JAX)/installed: PACKAGE := .[dev,jax]

# The releases of Python that the bounds in setup.py can be installed on.
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
STALE := $(foreach env,$(ENV_DEMO) $(ENV_TEST) $(ENV_JAX),$(shell \
  [ "$$(cat $(env)/installed 2>/dev/null)" = "$(MADE_FOR)" ] \
  && [ -x $(env)/bin/python ] || echo $(env)/installed))

.PHONY: $(STALE)

$(ENV_DEMO)/installed $(ENV_TEST)/installed $(ENV_JAX)/installed: setup.py
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
	  --editable "$(PACKAGE)"
	@echo "$(MADE_FOR)" > $@
