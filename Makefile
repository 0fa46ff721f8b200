# make demo                 set up, index the sample catalogue, and ask it ten photos
# make demo PHOTOS=folder   the same with your photos
# make test                 set up and run the tests
# make lint                 ruff and mypy
# make bench                the benchmarks, into results/bench (DATA=folder: with real photos)

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ok
CATALOGUE ?= catalogue
UV := uv==0.13.9

.PHONY: install browser demo test lint bench lock clean

install: $(READY)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("findalike needs Python 3.11 or newer, this is " + sys.version) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(UV)"
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY)
ifdef PHOTOS
	$(BIN)/findalike add "$(PHOTOS)" --catalogue "$(CATALOGUE)" || test $$? -eq 2
	$(BIN)/findalike search "$$(find "$(PHOTOS)" -type f -iname '*.jp*g' | sort | head -n 1)" --catalogue "$(CATALOGUE)" -k 5
else
	$(BIN)/findalike demo
endif

# The tests that drive a browser need Debian's; without it they are skipped and say so.
browser:
	@command -v chromium >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || \
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null) || \
		echo "chromium could not be installed: the browser tests will be skipped"

test: $(READY) browser
	$(BIN)/python -m pytest -n auto

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# hnswlib, which findalike is compared with, is built here where a compiler is. Without it, usearch or
# matplotlib the benchmarks run all the same and say so.
bench: $(READY)
	-$(BIN)/uv pip install --quiet --python $(BIN)/python --group bench || \
		$(BIN)/uv pip install --quiet --python $(BIN)/python matplotlib usearch
	$(BIN)/python benchmarks/run.py $(if $(DATA),"$(DATA)")

# The lock file is made again with: make lock
lock: $(READY)
	$(BIN)/uv pip compile --quiet pyproject.toml --group dev --extra openvino --extra postgres --generate-hashes --python-version 3.11 --no-header --output-file requirements.lock

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
