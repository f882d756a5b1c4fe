# Two commands: `make demo` and `make test`. Both make .venv first, once, from constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two test processes with one thread each: torch threads of several processes fight for the cores.
# A module goes to one of them, whole: what its tests share is made once.
TEST_ENV := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
# A process that hangs (faulthandler_timeout in pyproject.toml) or dies ends the run: another in its
# place would take up the same test.
TOGETHER := -n 2 --dist loadscope --no-loadscope-reorder --max-worker-restart 0 --durations=15

.PHONY: demo test test-all checks lint types layers doctest pytest docs benchmarks sbom audit clean
# What looks at the environment from outside; in one of its own, or it would be on its own list.
AUDIT := build/audit

demo: $(VENV)/.installed
	$(BIN)/epilm demo demo

test: checks pytest

# Beside each other: the types alone keep one core busy for a minute.
checks: $(VENV)/.installed
	$(MAKE) -j2 lint types layers doctest

# -c constraints.txt holds torch at a version that has a CPU build: where one is at hand, pip takes it
# and no CUDA package arrives (docs/how-to/install.md).
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "epilm needs Python 3.11 or newer; set PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

layers: $(VENV)/.installed
	$(BIN)/lint-imports

doctest: $(VENV)/.installed
	$(TEST_ENV) $(BIN)/python -m pytest --doctest-modules src/epilm -n 2 -p no:cacheprovider

pytest: $(VENV)/.installed
	$(TEST_ENV) $(BIN)/python -m pytest tests $(TOGETHER) -m "not twin"

# With the costly twins that `make test` leaves out.
test-all: checks
	$(TEST_ENV) $(BIN)/python -m pytest tests $(TOGETHER)

# The documentation as a site; a broken link stops it (`make test` builds it too, with the API pages
# of one folder). `python tools/gallery.py` draws its pictures.
docs: $(VENV)/.installed
	$(BIN)/python tools/documentation.py

benchmarks: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks

$(AUDIT)/.installed:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0 pip-audit==2.10.1
	touch $@

# What is installed, as CycloneDX JSON: build/sbom.cdx.json.
sbom: $(VENV)/.installed $(AUDIT)/.installed
	$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o build/sbom.cdx.json $(BIN)/python

# Known faults of it, as PyPI tells them; --strict: what cannot be asked is a failure, not a success.
audit: $(VENV)/.installed $(AUDIT)/.installed
	$(AUDIT)/bin/pip-audit --strict --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

clean:
	rm -rf $(VENV) demo build .pytest_cache .mypy_cache .ruff_cache
