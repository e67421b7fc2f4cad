# Every target sets up what it needs; on a fresh machine a Python >= 3.11 is enough.
PYTHON ?= python3
BIN := .venv/bin

# Where it is set, every command compiles all that it imports anew, and takes twice the time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test soak check bench bench-peers bench-serving docs clean setup-test

# Prefect 3.8.8 does not start with a newer FastAPI than the one it was released with.
PEERS := luigi==3.8.1 dagster==1.13.29 prefect==3.8.8,fastapi==0.139.2 dvc==3.67.1
SERVERS := fastapi==0.165.0,uvicorn[standard]==0.54.0 mlflow==3.17.2 bentoml==1.4.39 litserve==0.2.19 \
    mlserver==1.7.1,mlserver-sklearn==1.7.1 ray[serve]==2.60.0
# All load the same fitted models.
MODELS := scikit-learn==1.9.1

help: ## what can be made
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
	    printf '  make %-11s %s\n' "$$name" "$$text"; done

setup: ## .venv with mlwright and what it needs to run
	@$(PYTHON) scripts/setup.py demo

setup-test:
	@$(PYTHON) scripts/setup.py test

demo: setup ## the demonstration, from nothing to an answering endpoint
	@$(BIN)/python scripts/demo.py

# One file's tests stay in one process: a story's steps and its server belong together.
test: check ## the checks and every test
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder tests

soak: setup-test ## the tests that kill what runs, ten times as long
	MLWRIGHT_SOAK=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 -m soak tests

check: setup-test ## lint, format, types and import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup-test ## every benchmark, one after the other
	@set -e; for file in $(sort $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py))); do \
	    echo "== $$file"; $(BIN)/python "$$file"; done

bench-peers: setup-test ## Luigi, Dagster, Prefect and DVC on the same work, each in an environment of its own
	@set -e; for peer in $(PEERS); do \
	    folder=.cache/peers/$${peer%%=*}; \
	    $(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python "$$folder"; \
	    $(BIN)/uv pip install --quiet --python "$$folder" $$(echo "$$peer" | tr , ' '); done
	@$(BIN)/python benchmarks/workflow.py peers
	@$(BIN)/python benchmarks/storage.py

bench-serving: setup-test ## MLflow, BentoML, LitServe, MLServer, Ray Serve and FastAPI with the same models
	@set -e; for server in $(SERVERS); do \
	    name=$${server%%=*}; folder=.cache/peers/$${name%%[*}; \
	    $(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python "$$folder"; \
	    $(BIN)/uv pip install --quiet --python "$$folder" $(MODELS) $$(echo "$$server" | tr , ' '); done
	@$(BIN)/python benchmarks/serving.py requests start memory

docs: setup ## docs/reference/, written from the code
	@$(BIN)/python scripts/reference.py

clean: ## take away everything that make has made
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build demo
	find src tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
