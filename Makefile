# Two commands do everything: `make run` and `make test`. Both need only Python 3.11+ and git.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
AUDIT  := $(VENV)/audit

.PHONY: install run test test-thorough lint audit secrets sbom bench docs lock lock-image clean

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
	$(BIN)/python -m pytest -m "not thorough and not slow"

# The breadth: hostile input, many kinds of faults, real servers that are killed. Takes half an hour.
test-thorough: install
	$(BIN)/python -m pytest -m "thorough and not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# The tools of the next three, in an environment of their own: no user needs them.
$(AUDIT)/.installed: audit.lock $(VENV)/.installed
	$(PYTHON) -m venv --without-pip $(AUDIT)
	$(BIN)/uv pip install --quiet --python $(AUDIT)/bin/python --require-hashes -r audit.lock
	touch $@

# Known vulnerabilities of what is locked; exceptions stand in .ci/audit.toml.
audit: $(AUDIT)/.installed
	$(BIN)/python .ci/audit.py --pip-audit $(AUDIT)/bin/pip-audit

# Secrets in files that git knows; those of .secrets.baseline were looked at and are none.
secrets: $(AUDIT)/.installed
	.ci/secrets $(AUDIT)/bin

# What the server consists of, with the extras oidc, ophyd and postgresql, as CycloneDX.
sbom: $(AUDIT)/.installed
	mkdir -p dist
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra oidc --extra ophyd --extra postgresql --constraint requirements.lock pyproject.toml -o dist/runtime.txt
	$(AUDIT)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON \
		-o dist/sbom.json dist/runtime.txt

bench: install
	$(BIN)/python -m benchmarks.run

docs: install
	$(BIN)/mkdocs build --strict

# Write the locked versions anew: for this checkout, for the image, and for what builds the image. The files hold names,
# versions and hashes only, and agree with each other.
LOCKED := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

lock:
	$(LOCKED) --extra dev pyproject.toml -o requirements.lock --upgrade
	$(LOCKED) --group audit -o audit.lock --upgrade
	$(MAKE) lock-image

lock-image:
	$(LOCKED) --extra image pyproject.toml -c requirements.lock -o requirements-image.lock --upgrade
	printf 'hatchling\nuv\n' | $(LOCKED) - -c requirements.lock -o requirements-build.lock --upgrade

clean:
	rm -rf $(VENV) dist site .pytest_cache .ruff_cache
