# Every target sets up what it needs; on a fresh machine a Python >= 3.11 is enough.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test check bench docs clean setup-test

help: ## what can be made
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
	    printf '  make %-8s %s\n' "$$name" "$$text"; done

setup: ## .venv with mlwright and what it needs to run
	@$(PYTHON) scripts/setup.py demo

setup-test:
	@$(PYTHON) scripts/setup.py test

demo: setup ## the demonstration, from nothing to an answering endpoint
	@$(BIN)/python scripts/demo.py

# One file's tests stay in one process: a story's steps and its server belong together.
test: check ## the checks and every test
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile tests

check: setup-test ## lint, format, types and import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup-test ## every benchmark, one after the other
	@set -e; for file in $(sort $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py))); do \
	    echo "== $$file"; $(BIN)/python "$$file"; done

docs: setup ## docs/reference/, written from the code
	@$(BIN)/python scripts/reference.py

clean: ## take away everything that make has made
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build demo
	find src tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
