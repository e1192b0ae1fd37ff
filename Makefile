# Every target works on a fresh clone with Python 3.11 and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
export RAY_USAGE_STATS_ENABLED = 0

.PHONY: help demo test check bench lock data-dictionary infra-check clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

$(VENV)/.run: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.run ## score a small corpus of real face videos, end to end, into build/demo/lake
	$(BIN)/fakeout demo

test: $(VENV)/.dev ## run the whole suite
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=40

check: $(VENV)/.dev ## ruff, pyright, import-linter
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

lock: $(VENV)/.run ## resolve again and write the lock files (pins and hashes, no registry address)
	$(UV) lock --quiet
	$(UV) export --quiet --frozen --no-emit-project --no-header --extra all --no-default-groups --format requirements-txt -o requirements.lock
	$(UV) export --quiet --frozen --no-emit-project --no-header --extra all --all-groups --format requirements-txt -o requirements-dev.lock

infra-check: $(VENV)/.dev ## Terraform (fmt, init, validate, test), checkov, manifests, images; applies nothing
	$(BIN)/python -m tools.infra_check --checkov
	$(BIN)/python -m pytest -q tests/infra

data-dictionary: $(VENV)/.run ## write docs/data-dictionary.md and the BigQuery SQL from the schemas
	$(BIN)/python -m pipelines.data_dictionary

bench: $(VENV)/.dev ## benchmarks that need nothing beside the lock; each prints one JSON object last
	for script in rescan pipeline catalog metrics; do $(BIN)/python benchmarks/$$script.py || exit 1; done

clean: ## remove the environment and everything built
	rm -rf $(VENV) build dist
