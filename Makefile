# make demo                 set up, index the sample catalogue, and ask it ten photos
# make demo PHOTOS=folder   the same with your photos
# make test                 set up and run the tests
# make lint                 ruff and mypy
# make bench                the benchmarks that need no data (DATA=folder for the others)

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

# hnswlib and usearch, which findalike is compared with, are built here where a compiler is.
bench: $(READY)
	-$(BIN)/uv pip install --quiet --python $(BIN)/python --group bench
	$(BIN)/python benchmarks/bench_start.py
	$(BIN)/python benchmarks/bench_encode.py --rounds 2
	$(BIN)/python benchmarks/bench_index.py $$($(BIN)/python -c 'import hnswlib, usearch' 2>/dev/null || echo --without hnswlib usearch)
	$(BIN)/python benchmarks/bench_search.py --sizes 10000 100000
	$(BIN)/python benchmarks/bench_serving.py --quicken --seconds 3 --rounds 1
	$(BIN)/python benchmarks/bench_feeds.py 100000
	$(BIN)/python benchmarks/bench_builtin.py $(DATA)
	@test -z "$(DATA)" || $(BIN)/python benchmarks/bench_decode.py
	@test -z "$(DATA)" || $(BIN)/python benchmarks/bench_quality.py "$(DATA)"
	@test -z "$(DATA)" || $(BIN)/python benchmarks/bench_add.py "$(DATA)/images"

# The lock file is made again with: make lock
lock: $(READY)
	$(BIN)/uv pip compile --quiet pyproject.toml --group dev --extra openvino --extra postgres --generate-hashes --python-version 3.11 --no-header --output-file requirements.lock

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
