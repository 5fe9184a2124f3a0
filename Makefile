# Everything a contributor does, one target each. `make help` lists them; `make check` is what CI runs.
#
# Needs only make, Python >= 3.11 and a package index. There is no target for `alembic check`: it is a test of the
# suite (tests/storage/test_migrations.py), which has a migrated database at hand, so no second server is started.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Written last: an interrupted installation is done again, a finished one is not.
INSTALLED := .venv/.installed
ARGS ?=
# Processes that run the tests; each starts a PostgreSQL of its own. More than cores: most of a test is waiting.
WORKERS ?= 4

# Where this is set, every process that a test starts would compile the whole service again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Rapport needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@# setuptools warns about every editable installation, whatever it looks like.
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: install
install: $(INSTALLED) ## Make .venv and install the locked dependencies and the project

.PHONY: run
run: install ## Start Rapport with its embedded PostgreSQL (ARGS="--port 8080")
	$(BIN)/rapport serve $(ARGS)

.PHONY: test
test: install ## Run the tests on a throw-away PostgreSQL (ARGS="-k refund")
	$(BIN)/pytest --numprocesses $(WORKERS) -m "not long" $(ARGS)

.PHONY: format
format: install ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

.PHONY: format-check
format-check: install ## Fail where the formatter would change something
	$(BIN)/ruff format --check

.PHONY: lint
lint: install ## Lint (ruff, all rules)
	$(BIN)/ruff check

.PHONY: types
types: install ## Check types (mypy strict)
	$(BIN)/mypy

.PHONY: contracts
contracts: install ## Check that imports keep to the layers
	$(BIN)/lint-imports --no-logo

# One after the other and the quick ones first, also under `make -j`.
.PHONY: check
check: ## All of the above and the tests: exactly what CI runs
	$(MAKE) --no-print-directory format-check
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory types
	$(MAKE) --no-print-directory contracts
	$(MAKE) --no-print-directory test

.PHONY: prove
prove: install ## Run the tests with many more random examples, then 200 faults, 200 kills and 1,000 cuts (long)
	HYPOTHESIS_PROFILE=prove SCHEMATHESIS_SECONDS=600 $(BIN)/pytest $(ARGS)
	$(BIN)/python -m tests.chaos --faults 200 --kills 200 --cuts 1000 --mutants --output build/reliability.md

# Its own servers, on loopback and free ports; ends by itself.
.PHONY: chaos
chaos: install ## Kill, cut, slow and fill everything 200 times under load (ARGS="--seed 8"; some 20 minutes)
	$(BIN)/python -m tests.chaos --faults 200 --output build/chaos.md $(ARGS)

.tools/.installed: tools/requirements.txt
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check -r tools/requirements.txt
	@touch $@

# What the image holds: the project's own dependencies, chosen from the lock as the Dockerfile chooses them.
build/service/.installed: requirements.lock pyproject.toml
	rm -rf build/service build/wheels
	$(PYTHON) -m venv build/service
	build/service/bin/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
		--requirement requirements.lock --dest build/wheels
	PYTHONWARNINGS=ignore build/service/bin/python -m pip install --quiet --disable-pip-version-check --no-index \
		--find-links build/wheels --editable .
	build/service/bin/python -m pip uninstall --quiet --yes pip setuptools
	@touch $@

.PHONY: sbom
sbom: .tools/.installed build/service/.installed ## Write build/sbom.cdx.json (CycloneDX) and build/licences.md of what is shipped
	.tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file build/sbom.cdx.json build/service/bin/python
	.tools/bin/pip-licenses --python build/service/bin/python --from mixed --with-urls --format markdown \
		--partial-match --fail-on "GPL;General Public License;UNKNOWN" --output-file build/licences.md

.PHONY: audit
audit: .tools/.installed ## Look for known vulnerabilities in all that is locked (2: the advisory service has not answered)
	.tools/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip --progress-spinner off \
		--format json 2>/dev/null | .tools/bin/python -m tools.audit

# mutmut's own dependencies go with it, apart from those of the project.
build/mutmut/.installed: $(INSTALLED)
	rm -rf build/mutmut
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target build/mutmut "mutmut==3.8.1"
	@touch $@

.PHONY: mutants
mutants: build/mutmut/.installed ## Change the loyalty rules in thousands of places and list what no test noticed (an hour; goes on where it was stopped)
	PYTHONPATH=build/mutmut $(BIN)/python -m tools.mutants run $(ARGS)
	PYTHONPATH=build/mutmut $(BIN)/python -m tools.mutants results

.PHONY: bench
bench: install ## Measure speed on this machine
	$(BIN)/python -m bench $(ARGS)

.PHONY: lock
lock: ## Resolve requirements.lock again (LOCK_ARGS="--upgrade")
	$(MAKE) --no-print-directory install
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
		--extra embedded --extra fit --extra dev --output-file requirements.lock $(LOCK_ARGS) pyproject.toml

.PHONY: clean
clean: ## Remove .venv and all caches (never .rapport, which holds data)
	rm -rf .venv .tools build dist mutants *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis .coverage htmlcov
	find app tests bench tools migrations -name __pycache__ -type d -prune -exec rm -rf {} +
