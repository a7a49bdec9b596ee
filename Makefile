# Every target makes its environment first: with uv when it is on PATH, else with venv and pip.
PYTHON ?= python3

# What `make test-pythons` looks for.
PYTHONS ?= 3.11 3.12 3.13 3.14

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

# One more than cores: some tests wait, for processes and for leases that end.
cores := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
pytest := pytest --numprocesses $(shell expr 1 + $(cores)) --maxprocesses 8
unit_tests := $(pytest) --ignore=tests/reliability --ignore=tests/hosts

# What differs between Pythons shows in these, on SQLite, on PostgreSQL and in memory.
tests_on_pythons := src tests/domain tests/application tests/django tests/cli/test_app.py \
    $(addprefix tests/adapters/test_,bulk.py caches.py fast_kernels.py kernels.py memory.py sqlite.py)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(installed) ## Show recommendations for a small auction site
	@$(bin)/angle-reco demo

.PHONY: example-django
example-django: .venv-hosts/.installed ## Run the auction site in examples/django at http://127.0.0.1:8000/ (DATABASE_URL chooses PostgreSQL)
	@cd examples/django && PATH="$(CURDIR)/.venv-hosts/bin:$$PATH" && python manage.py migrate --verbosity 0 \
	    && python manage.py seed && python manage.py reco run all \
	    && echo "sign in at http://127.0.0.1:8000/ as ada, with the password auction" \
	    && exec gunicorn --workers 4 --preload --bind 127.0.0.1:8000 auction.wsgi

.PHONY: test
test: $(installed) ## Run the tests; with COVERAGE=yes report what they cover, too
	@$(bin)/$(unit_tests) $(if $(COVERAGE),--cov)

.PHONY: test-oldest
test-oldest: .venv-oldest/.installed ## Run the tests on the oldest releases of what we depend on
	@.venv-oldest/bin/$(unit_tests)

# $TESTED_PYTHON may be part of the name of a report. A python3.x that is there may not run.
.PHONY: test-pythons
test-pythons: ## Run a part of the tests on each other Python that this machine has
	@usual=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])') || exit; \
	ran= failed= missing=; \
	for version in $(PYTHONS); do \
	    test "$$version" != "$$usual" || continue; \
	    export TESTED_PYTHON=$$version; \
	    found=; \
	    for candidate in "python$$version" "$$(pyenv root 2>/dev/null)/versions/$$version".*/bin/python; do \
	        if "$$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$$version')" 2>/dev/null; \
	        then found=$$candidate; break; fi; \
	    done; \
	    if test -z "$$found"; then missing="$$missing $$version"; continue; fi; \
	    echo "Python $$version: $$found"; \
	    ran="$$ran $$version"; \
	    { $(MAKE) --silent --no-print-directory PYTHON="$$found" ".venv-$$version/.installed" \
	        && ".venv-$$version/bin/"$(pytest) --quiet $(tests_on_pythons); } || failed="$$failed $$version"; \
	done; \
	echo "Pythons besides $$usual: ran on$${ran:- none}; not found:$${missing:- none}; failed:$${failed:- none}"; \
	test -z "$$failed"

.PHONY: test-reliability
test-reliability: $(installed) ## Run what takes luck to fail, each a few times
	@$(bin)/$(pytest) tests/reliability

.PHONY: test-hosts
test-hosts: .venv-hosts/.installed ## Run the tests with real servers, drivers and poolers
	@tests/hosts/install.sh pgbouncer chromium
	@.venv-hosts/bin/pytest --numprocesses 2 --dist loadfile tests/hosts

.PHONY: test-postgres
test-postgres: $(installed) ## Run the tests on PostgreSQL again, on the version that the system has
	@ANGLE_RECO_TEST_DATABASE_URL= ANGLE_RECO_TEST_POSTGRES=system \
	    $(bin)/$(unit_tests) -m postgres

.PHONY: reliability
reliability: $(installed) ## Run what takes luck to fail at full size (long)
	@ANGLE_RECO_TEST_SIZE=full $(bin)/pytest tests/reliability \
	    tests/adapters/test_migrations.py tests/adapters/test_stateful.py

.PHONY: mutants
mutants: $(installed) ## Change the code in NUMBER=200 places (SEED=1), and see that a test fails
	@$(bin)/python -m tools.mutants --number $(or $(NUMBER),200) --seed $(or $(SEED),1)

.PHONY: lint
lint: $(installed) ## Look for mistakes, forbidden imports and words to do without
	@$(bin)/ruff check
	@$(bin)/lint-imports --no-logo
	@$(bin)/python tools/words.py src README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs

.PHONY: house
house: $(installed) ## Measure how much a reader of the source has to know
	@$(bin)/python tools/house.py

.PHONY: format-check
format-check: $(installed) ## Fail if a file is not formatted
	@$(bin)/ruff format --check

.PHONY: format
format: $(installed) ## Format the code, and mend what ruff can mend
	@$(bin)/ruff check --fix-only --quiet
	@$(bin)/ruff format

.PHONY: types
types: $(installed) ## Check the types with mypy, and those of the public calls with basedpyright
	@$(bin)/mypy
	@$(bin)/basedpyright --pythonpath $(bin)/python

.PHONY: reference
reference: .venv-docs/.installed ## Build the site of the pages and the docstrings, and check their links
	@rm -rf build/reference
	@.venv-docs/bin/sphinx-build --quiet --fail-on-warning --keep-going \
	    --conf-dir tools/reference --doctree-dir build/reference/.doctrees . build/reference
	@echo "reference: build/reference/index.html"

.PHONY: lock
lock: ## Bring the lock files up to pyproject.toml (needs uv); with UPGRADE=yes to newer releases, too
	@$(call resolve,requirements-dev.txt)
	@$(call resolve,requirements-oldest.txt) --resolution lowest-direct
	@$(call resolve,requirements-hosts.txt) --group hosts --constraint requirements-dev.txt
	@$(call resolve,requirements-docs.txt) --group docs --constraint requirements-dev.txt

# For all platforms, from the oldest Python that we support.
resolve = echo '--editable .' | uv pip compile --quiet --no-header --no-annotate --generate-hashes \
    --universal --python-version 3.11 --all-extras --group dev --no-emit-package angle-reco \
    $(if $(UPGRADE),--upgrade) --output-file $(1) pyproject.toml -

.PHONY: lock-check
lock-check: ## Prove that the lock files are all that the set-up needs
	@$(PYTHON) tools/lock_check.py $(addprefix requirements-,dev.txt oldest.txt hosts.txt docs.txt)

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

.PHONY: benchmark-similarities
benchmark-similarities: $(installed) ## Measure similar items of all open items, beside implicit
	@$(bin)/python benchmarks/similarities.py

.PHONY: benchmark-serving
benchmark-serving: $(installed) ## Measure answers from memory, each beside a bare dict
	@$(bin)/python benchmarks/serving.py

.PHONY: benchmark-postgres
benchmark-postgres: $(installed) ## Measure bulk data on PostgreSQL, each figure beside a bare COPY
	@$(bin)/python benchmarks/postgres.py

.PHONY: benchmark-incremental
benchmark-incremental: $(installed) ## Measure jobs after little has changed, each beside a full run
	@PYTHONPATH=. $(bin)/python benchmarks/incremental.py

.PHONY: benchmark-scale
benchmark-scale: $(installed) ## Measure how the jobs and the database grow with the marketplace (SIZES="10000 100000")
	@$(bin)/python -m benchmarks.scale $(SIZES)

.PHONY: benchmark-relevance
benchmark-relevance: $(installed) ## Measure what rankings hit, on the import directories in DATA
	@$(bin)/python benchmarks/relevance.py $(DATA)

.PHONY: benchmark-hosts
benchmark-hosts: .venv-hosts/.installed ## Measure what a host's requests and commits pay for ours
	@.venv-hosts/bin/python benchmarks/hosts.py

.PHONY: picture
picture: $(installed) ## Draw the picture of the demo anew
	@$(bin)/angle-reco demo --database sqlite:///angle_reco_demo.db --picture docs/demo.svg

.PHONY: clean
clean: ## Remove the environments and what the tools left behind
	@rm -rf .venv .venv-* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.* .mutants build dist
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# The lock file that an environment is installed from.
requirements := requirements-dev.txt
.venv-oldest/.installed: requirements := requirements-oldest.txt
.venv-hosts/.installed: requirements := requirements-hosts.txt
.venv-docs/.installed: requirements := requirements-docs.txt

# Recreated only if it is missing: installing again into the same one is quick.
.PRECIOUS: %/pyvenv.cfg
%/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "angle-reco needs Python 3.11 or newer, which '$(PYTHON)' is not: try make PYTHON=python3.12" >&2; \
	    exit 1; \
	}
ifdef uv
	@uv venv --quiet --clear --no-python-downloads --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(@D)
else
	@$(PYTHON) -m venv --clear $(@D)
endif

# The lock has every package with its hash: nothing is resolved, so nothing newer in the registry
# can break the set-up. `pip check` then finds a requirement that the lock does not answer.
.SECONDEXPANSION:
%/.installed: %/pyvenv.cfg $$(requirements) pyproject.toml
ifdef uv
	@echo "installing into $(@D) with uv ..."
	@uv pip install --quiet --python $(@D)/bin/python --no-deps --require-hashes --requirement $(requirements)
	@uv pip install --quiet --python $(@D)/bin/python --no-deps --no-build-isolation --editable .
	@uv pip check --quiet --python $(@D)/bin/python
else
	@echo "installing into $(@D) with pip (a minute or so) ..."
	@$(@D)/bin/python -m pip --version >/dev/null 2>&1 || $(@D)/bin/python -m ensurepip >/dev/null
	@$(@D)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes --requirement $(requirements)
	@$(@D)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(@D)/bin/python -m pip check --disable-pip-version-check
endif
	@touch $@
