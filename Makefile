# Every target sets up what it needs: the locked packages go into .venv, and a stamp makes the second run instant.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo serve test kill bench lint

demo: $(READY)
	$(BIN)/python -m app.demo

serve: $(READY)
	$(BIN)/python -m app.demo --serve

test: $(READY)
	$(BIN)/pytest -n 3 --dist worksteal

# The kills of `make test`, ten times as many: a thousand.
kill: $(READY)
	RECKONER_TEST_KILLS=500 $(BIN)/pytest -n 2 --dist worksteal tests/e2e/kill

bench: $(READY)
	$(BIN)/python -m benchmarks

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Debian and Ubuntu ship Python without venv, and some images ship no Python at all.
$(READY): requirements.lock pyproject.toml
	@rm -f $@
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf .venv && $(PYTHON) -m venv .venv >/dev/null 2>&1; } || { \
	    rm -rf .venv; \
	    command -v apt-get >/dev/null || { echo "Install Python 3.11 or newer with its venv module, then run make again." >&2; exit 1; }; \
	    if [ "$$(id -u)" = 0 ]; then as_root=; else as_root=sudo; fi; \
	    echo "Python's venv module is missing: installing the package python3-venv with apt-get."; \
	    $$as_root apt-get update -q && $$as_root apt-get install -q -y python3-venv && $(PYTHON) -m venv .venv; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Reckoner needs Python 3.11 or newer; this is $$($(BIN)/python --version). Try: make PYTHON=python3.12" >&2; \
	    rm -rf .venv; exit 1; }
	@echo "Installing the locked packages into .venv (once)."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps --no-index -e .
	@touch $@
