# Two commands matter to a newcomer: `make demo` and `make test`. Each sets up all that it needs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# A pip run that says only what went wrong, and that takes nothing but what the lock file names.
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test test-properties test-clients test-local test-sdk test-aimock test-heavy test-browser notebooks check lint bench bench-load bench-notebook faults soak lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "rxlapce needs Python 3.11 or newer, and $(PYTHON) is %d.%d: run make PYTHON=/path/to/python3.11" % v[:2])'
	@echo "rxlapce: setting up $(VENV) (once)" >&2
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# Each stamp means: this lock file is installed. `dev` holds `test`, which holds `run`.
$(VENV)/.run: requirements/run.txt pyproject.toml $(VENV)/.python
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps -e .
	@touch $@
$(VENV)/.test $(VENV)/.dev $(VENV)/.sdk $(VENV)/.server $(VENV)/.notebook: $(VENV)/.%: requirements/%.txt $(VENV)/.run
	@$(PIP) install --require-hashes -r requirements/$*.txt
	@touch $@

# The mock server of `test-aimock`: the only thing here that is not Python. A machine without Node.js skips its tests.
AIMOCK := tests/aimock
$(AIMOCK)/node_modules: $(AIMOCK)/package.json $(AIMOCK)/package-lock.json
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
	  npm ci --prefix $(AIMOCK) --ignore-scripts --no-audit --no-fund --silent && touch $@ || { rm -rf $@; exit 1; }; \
	else \
	  echo "rxlapce: WARNING: Node.js or npm is not installed, so the tests against aimock are SKIPPED" >&2; \
	fi

demo: $(VENV)/.run ## Start the daemon and stream an answer through shared memory into the terminal
	@$(BIN)/rxlapce demo $(ARGS)

test: $(VENV)/.test ## Run the tests (under 3 minutes)
	@$(BIN)/python -m pytest -q -n auto -m "not clients and not local_server and not sdk and not aimock and not browser and not heavy" $(ARGS)

test-properties: $(VENV)/.test ## Try each property on more examples than `make test` does (4 minutes)
	@RXLAPCE_TEST_EXAMPLES=$${RXLAPCE_TEST_EXAMPLES:-2} $(BIN)/python -m pytest -q -n auto \
	  -m "hypothesis and not clients and not local_server and not sdk and not aimock and not browser and not heavy" $(ARGS)

test-clients: $(VENV)/.test ## Run the Rust and Neovim clients against a real daemon (skips what is not installed)
	@for tool in cargo nvim; do command -v $$tool >/dev/null || \
	  echo "rxlapce: WARNING: $$tool is not installed, so its client's tests are SKIPPED" >&2; done
	@$(BIN)/python -m pytest -q -m clients $(ARGS)

test-local: $(VENV)/.test $(VENV)/.server ## Run the tests against a real llama.cpp server
	@$(BIN)/python -m pytest -q -m local_server $(ARGS)

test-sdk: $(VENV)/.test $(VENV)/.sdk ## Compare our requests with those of the vendors' own clients
	@$(BIN)/python -m pytest -q -m sdk $(ARGS)

test-aimock: $(VENV)/.test $(AIMOCK)/node_modules ## Run the tests against a mock server by others (needs Node.js)
	@$(BIN)/python -m pytest -q -m aimock $(AIMOCK) $(ARGS)

test-heavy: $(VENV)/.test $(VENV)/.dev ## Run the tests that take minutes
	@RXLAPCE_TEST_EXAMPLES=$${RXLAPCE_TEST_EXAMPLES:-1} $(BIN)/python -m pytest -q -m "heavy and not clients and not local_server and not sdk and not aimock and not browser" $(ARGS)

test-browser: $(VENV)/.test $(VENV)/.notebook ## Run the notebooks' views in a real JupyterLab in Chromium (skips what is not installed)
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	  echo "rxlapce: WARNING: Chromium is not installed, so the tests in a browser are SKIPPED" >&2
	@$(BIN)/python -m pytest -q -m browser $(ARGS)

notebooks: $(VENV)/.test $(VENV)/.notebook ## Run all notebooks from top to bottom, and check what they show
	@$(BIN)/python notebooks/run.py $(ARGS)

check: lint test ## Lint, format, types, import layers, tests

lint: $(VENV)/.test $(VENV)/.dev ## The part of check that runs nothing: lint, format, types, import layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports

bench: $(VENV)/.test ## Measure CPU a token beside aiohttp alone, frames and round trips, with the spread
	@$(BIN)/python -m benchmarks $(ARGS)

bench-notebook: $(VENV)/.test $(VENV)/.notebook ## Measure 100,000 tokens through a live diagram in a real JupyterLab
	@$(BIN)/python -m benchmarks.notebook $(ARGS)

bench-load: $(VENV)/.test ## Measure 1,000 streams on 100 connections: tokens lost, CPU, memory, latency added
	@$(BIN)/python -m benchmarks.load $(ARGS)

faults: $(VENV)/.test ## Do to a running daemon all that may go wrong beside it, and say what was kept (2 minutes)
	@$(BIN)/python -m benchmarks.faults $(ARGS)

soak: $(VENV)/.test ## Keep 200 streams with random faults under way for 5 minutes; fails if anything is left behind
	@$(BIN)/python -m benchmarks.soak $(ARGS)

lock: $(VENV)/.python ## Resolve requirements/*.txt anew
	@$(PIP) install uv
	@for group in run test dev sdk server notebook; do \
	  flag=""; [ $$group = run ] || flag="--group $$group"; \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-header --no-annotate $$flag pyproject.toml -o requirements/$$group.txt || exit 1; \
	done

clean: ## Remove the virtual environment and all caches
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info $(AIMOCK)/node_modules
