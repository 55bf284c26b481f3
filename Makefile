# A fresh machine needs Python and make. `make demo` shows what tfadv does, `make test` proves it; `make` lists the rest.
#
# PYTHON=...        the Python of .venv, the default stack (3.10 to 3.13; the first one found)
# PAPER_PYTHON=...  the Python of .venv-paper, TensorFlow 2.15 (3.10 or 3.11; the first one found)
# WHAT=papers       which experiments `make reproduce` makes
# WORKERS=2         test processes at once

PYTHON =
PAPER_PYTHON =
WHAT = papers
WORKERS = 2
SOURCES = tfadv cli checkpoints tests scripts setup.py
PYTEST = -m pytest -n $(WORKERS) --dist worksteal
BIN = .venv/bin
PAPER = .venv-paper/bin
CLUSTER = .venv-cluster/bin

.PHONY: help install install-paper demo reproduce test test-slow test-paper test-cluster test-all coverage lint types format docs \
	docs-check wheel-check bench clean

help:
	@echo "make demo        attack the embedded digits and draw it, in demo/"
	@echo "make test        the tests on the default stack"
	@echo "make test-paper  the tests on TensorFlow 2.15 with tensorflow-addons"
	@echo "make test-slow   the slow tests on the default stack: the largest networks, notebooks, what tests/slow.txt names"
	@echo "make test-cluster  the tests on a local Ray cluster and a local S3 server, in an environment of their own"
	@echo "make test-all    the slow tests as well, on both stacks"
	@echo "make coverage    the tests on the default stack, and which lines they run"
	@echo "make lint        ruff and mypy;  make types: mypy alone;  make format: let ruff rewrite"
	@echo "make docs        write what is generated and build the site, build/site;  make docs-check: compare and build"
	@echo "make wheel-check build the wheel, install it elsewhere and run it"
	@echo "make reproduce   every table and figure of the papers on the embedded digits, small, in reproduced/;"
	@echo "                 WHAT=all the experiments of no paper too"
	@echo "make bench       what attacks and folders cost on this machine"
	@echo "make clean       remove what the others made"

install: .venv/installed
install-paper: .venv-paper/installed

.venv/installed: setup.py pyproject.toml
	@echo "Installing into .venv; the first time takes a few minutes."
	@python="$(PYTHON)"; python="$${python:-$$(sh scripts/find_python.sh 3.10 3.13)}" && "$$python" -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[test,docs]"
	touch $@

.venv-paper/installed: setup.py pyproject.toml
	@echo "Installing into .venv-paper; the first time takes a few minutes."
	@python="$(PAPER_PYTHON)"; python="$${python:-$$(sh scripts/find_python.sh 3.10 3.11)}" && "$$python" -m venv .venv-paper
	$(PAPER)/python -m pip install --quiet --editable ".[paper,test]"
	touch $@

demo: install
	$(BIN)/tfadv demo demo/

reproduce: install
	$(BIN)/tfadv reproduce $(WHAT) --scale digits --count 6 --out reproduced/
	@if [ -n "$$(command -v chromium || command -v chromium-browser || command -v google-chrome)" ]; then \
		$(BIN)/python scripts/page_check.py reproduced/; \
	else echo "no Chromium is installed: the pages are not looked at"; fi

test: install
	$(BIN)/python $(PYTEST)

test-slow: install
	$(BIN)/python $(PYTEST) -m slow

test-paper: install-paper
	$(PAPER)/python $(PYTEST)

.venv-cluster/installed: setup.py pyproject.toml
	@echo "Installing into .venv-cluster; the first time takes a few minutes."
	@python="$(PYTHON)"; python="$${python:-$$(sh scripts/find_python.sh 3.10 3.13)}" && "$$python" -m venv .venv-cluster
	$(CLUSTER)/python -m pip install --quiet --editable ".[test,ray,remote]" "moto[server]" s3fs
	touch $@

test-cluster: .venv-cluster/installed
	$(CLUSTER)/python -m pytest -m "slow or not slow" tests/cli/test_on_ray.py tests/folders/test_object_store.py

test-all: install install-paper
	$(BIN)/python $(PYTEST) -m "slow or not slow"
	$(PAPER)/python $(PYTEST) -m "slow or not slow"

coverage: install
	rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run $(PYTEST)
	$(BIN)/python -m coverage combine
	$(BIN)/python -m coverage report

lint: types
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)

# mypy reads the package as it is installed, with tfadv.cli and tfadv.checkpoints in it.
types: install
	$(BIN)/python scripts/linked.py
	$(BIN)/mypy

format: install
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

docs: install
	$(BIN)/python scripts/listed.py
	$(BIN)/python scripts/cli_reference.py
	$(BIN)/python scripts/card_schema.py
	$(BIN)/python scripts/linked.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

docs-check: install
	$(BIN)/python scripts/cli_reference.py --check
	$(BIN)/python scripts/linked.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

wheel-check: install
	$(BIN)/python scripts/wheel_check.py

bench: install
	$(BIN)/tfadv bench

clean:
	rm -rf .venv .venv-paper build dist demo reproduced *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
	find tfadv cli checkpoints tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
