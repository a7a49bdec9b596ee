# Every target makes .venv first: with uv when it is on PATH, else with venv and pip.
PYTHON ?= python3

# Trust what the system trusts, so that uv works behind a proxy as pip does.
UV_SYSTEM_CERTS ?= true
export UV_SYSTEM_CERTS

# Tests begin many processes: each module is compiled once, not by every one of them.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

bin := .venv/bin
installed := .venv/.installed
uv := $(shell command -v uv 2>/dev/null)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(installed) ## Show recommendations for a small auction site
	@$(bin)/angle-reco demo

.PHONY: test
test: $(installed) ## Run the tests; with COVERAGE=yes report what they cover, too
	@$(bin)/pytest --numprocesses auto --maxprocesses 8 --ignore=tests/reliability \
	    $(if $(COVERAGE),--cov)

.PHONY: test-reliability
test-reliability: $(installed) ## Run what takes luck to fail, each a few times
	@$(bin)/pytest --numprocesses auto --maxprocesses 8 tests/reliability

.PHONY: test-postgres
test-postgres: $(installed) ## Run the tests on PostgreSQL again, on the version that the system has
	@ANGLE_RECO_TEST_DATABASE_URL= ANGLE_RECO_TEST_POSTGRES=system \
	    $(bin)/pytest --numprocesses auto --maxprocesses 8 -m postgres --ignore=tests/reliability

.PHONY: reliability
reliability: $(installed) ## Run what takes luck to fail at full size (long)
	@ANGLE_RECO_TEST_SIZE=full $(bin)/pytest tests/reliability \
	    tests/adapters/test_migrations.py tests/adapters/test_stateful.py

.PHONY: lint
lint: $(installed) ## Look for mistakes with ruff
	@$(bin)/ruff check

.PHONY: format-check
format-check: $(installed) ## Fail if a file is not formatted
	@$(bin)/ruff format --check

.PHONY: format
format: $(installed) ## Format the code, and mend what ruff can mend
	@$(bin)/ruff check --fix-only --quiet
	@$(bin)/ruff format

.PHONY: types
types: $(installed) ## Check the types with mypy
	@$(bin)/mypy

.PHONY: check
check: lint format-check types test test-reliability demo ## Run everything that must pass

.PHONY: package
package: $(installed) ## Build the sdist, the wheel from it, and run the command of the wheel
	@PYTHON=$(PYTHON) tools/package.sh

.PHONY: release-check
release-check: package ## Say what is missing before a release
	@$(bin)/python tools/release_check.py

.PHONY: benchmark
benchmark: $(installed) ## Measure speed, each figure beside a bare limit
	@$(bin)/python benchmarks/speed.py

.PHONY: benchmark-serving
benchmark-serving: $(installed) ## Measure answers from memory, each beside a bare dict
	@$(bin)/python benchmarks/serving.py

.PHONY: benchmark-postgres
benchmark-postgres: $(installed) ## Measure bulk data on PostgreSQL, each figure beside a bare COPY
	@$(bin)/python benchmarks/postgres.py

.PHONY: picture
picture: $(installed) ## Draw the picture of the demo anew
	@$(bin)/angle-reco demo --database sqlite:///angle_reco_demo.db --picture docs/demo.svg

.PHONY: clean
clean: ## Remove .venv and what the tools left behind
	@rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.* build dist
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# Made anew only if it is missing: installing again into the same one is quick.
.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "angle-reco needs Python 3.11 or newer, which '$(PYTHON)' is not: try make PYTHON=python3.12" >&2; \
	    exit 1; \
	}
ifdef uv
	@uv venv --quiet --clear --no-python-downloads --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
else
	@$(PYTHON) -m venv --clear .venv
endif

# The lock has every package with its hash: nothing is resolved, so nothing newer in the registry
# can break the set-up. `pip check` then finds a requirement that the lock does not answer.
$(installed): .venv/pyvenv.cfg requirements-dev.txt pyproject.toml
ifdef uv
	@echo "installing into .venv with uv ..."
	@uv pip install --quiet --python $(bin)/python --no-deps --require-hashes --requirement requirements-dev.txt
	@uv pip install --quiet --python $(bin)/python --no-deps --no-build-isolation --editable .
	@uv pip check --quiet --python $(bin)/python
else
	@echo "installing into .venv with pip (a minute or so) ..."
	@$(bin)/python -m pip --version >/dev/null 2>&1 || $(bin)/python -m ensurepip >/dev/null
	@$(bin)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes --requirement requirements-dev.txt
	@$(bin)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(bin)/python -m pip check --disable-pip-version-check
endif
	@touch $@
