# Two commands do everything: `make run` and `make test`. Both need only Python 3.11+ and git.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: install run test lint bench docs lock lock-image clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.6"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

run: install
	$(BIN)/iocmng-server --plugins-config examples/plugins.yaml

test: install
	$(BIN)/python -m pytest -m "not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: install
	$(BIN)/python -m benchmarks.run

docs: install
	$(BIN)/mkdocs build --strict

# Write the locked versions anew: for this checkout, for the image, and for what builds the image. The files hold names,
# versions and hashes only, and agree with each other.
LOCKED := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

lock:
	$(LOCKED) --extra dev pyproject.toml -o requirements.lock --upgrade
	$(MAKE) lock-image

lock-image:
	$(LOCKED) --extra image pyproject.toml -c requirements.lock -o requirements-image.lock --upgrade
	printf 'hatchling\nuv\n' | $(LOCKED) - -c requirements.lock -o requirements-build.lock --upgrade

clean:
	rm -rf $(VENV) dist site .pytest_cache .ruff_cache
